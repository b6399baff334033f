"""The classifier behind `FID-cls`: a five-layer CNN whose 128-d penultimate features and labels judge images."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.data.images import ImageSet, to_unit

WEIGHTS = Path(__file__).parent / "weights" / "fashion-classifier.safetensors"


class Classifier(nn.Module):
    """Three convolutions, two dense layers. Input [B, C, H, W] in [0, 1], 32 pixels a side or other sizes."""

    def __init__(self, classes: int = 10, channels: int = 1, widths: tuple[int, int, int] = (32, 64, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for width in widths:
            layers += [
                nn.Conv2d(inputs, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            inputs = width
        self.trunk = nn.Sequential(*layers)
        self.dense = nn.Linear(inputs * 16, 128)
        self.out = nn.Linear(128, classes)

    def features(self, images: Tensor) -> Tensor:
        """[B, C, H, W] -> the penultimate activations [B, 128]."""
        x = F.adaptive_avg_pool2d(self.trunk(images), 4)  # as it is for 32 pixels
        x = F.dropout(x.flatten(1), 0.3, self.training)
        return F.relu(self.dense(x))

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] -> logits [B, classes]."""
        return self.out(F.dropout(self.features(images), 0.3, self.training))


def fit(
    network: nn.Module,
    data: ImageSet,
    *,
    epochs: int,
    seed: int,
    lr: float = 3e-3,
    tell: Callable[[int], None] = lambda done: None,
) -> None:
    """Train a classifier in place: AdamW, one-cycle rate, mirrored and shifted copies, label smoothing 0.05.

    `tell` is called with the number of pictures seen since.
    """
    generator = torch.Generator().manual_seed(seed)
    batch = min(250, len(data))
    steps = epochs * (len(data) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    network.train()
    for _ in range(epochs):
        order = torch.randperm(len(data), generator=generator)
        for rows in order.split(batch)[: len(data) // batch]:
            images = augment(to_unit(data.images[rows]), generator)
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(images)
            loss = _loss(logits.float(), data.labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            tell(batch)
    network.eval()


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Classes [B]: one is right. Terms [B, W] of captions: each is there or not."""
    if labels.dim() == 1:
        return F.cross_entropy(logits, labels, label_smoothing=0.05)
    return F.binary_cross_entropy_with_logits(logits, said(labels, logits.shape[1]).float())


def said(labels: Tensor, terms: int) -> Tensor:
    """Which of `terms` terms captions [B, W] hold: bool [B, terms]."""
    held = torch.zeros(len(labels), terms + 1, dtype=torch.bool).scatter(1, labels.where(labels >= 0, terms), True)
    return held[:, :terms]


def agreement(logits: Tensor, labels: Tensor) -> float:
    """Percent. Classes [N]: how often the likeliest is the right one. Captions [N, W] of k terms each: how many of the
    k likeliest terms are among them.
    """
    if labels.dim() == 1:
        return 100.0 * float((logits.argmax(-1) == labels).double().mean())
    held = said(labels, logits.shape[1])
    places = torch.arange(logits.shape[1]).expand_as(held)
    likeliest = torch.zeros_like(held).scatter(1, logits.argsort(dim=1, descending=True), places < held.sum(1)[:, None])
    return 100.0 * float((likeliest & held).sum(1).double().div(held.sum(1).clamp(min=1)).mean())


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the batch, then shift all of it by one common offset of at most two pixels."""
    flip = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    images = torch.where(flip, images.flip(-1), images)
    dy, dx = torch.randint(-2, 3, (2,), generator=generator).tolist()
    return images.roll((dy, dx), (2, 3))


def save(network: Classifier, path: Path = WEIGHTS) -> None:
    """Store the weights in half precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file({k: v.contiguous() for k, v in half.items()}, path)


def load_classifier(path: Path = WEIGHTS, classes: int = 10, channels: int = 1) -> Classifier:
    """The stored classifier in float32, in evaluation mode."""
    network = Classifier(classes, channels)
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()})
    return network.eval()


@torch.no_grad()
def judge(network: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 images [N, C, H, W] -> (features float64 [N, 128], logits [N, classes]); fp32 arithmetic."""
    features, logits = [], []
    for part in _parts(images):
        feats = network.features(to_unit(part))
        features.append(feats.double())
        logits.append(network.out(feats))
    return torch.cat(features), torch.cat(logits)


def _parts(images: Tensor) -> Iterator[Tensor]:
    yield from images.split(500)
