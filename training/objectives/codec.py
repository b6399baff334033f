"""The objective of a codec, EnCodec's (arXiv 2210.13438): spectra, waveform, a discriminator, and its codebooks.

Gradients of the terms are balanced: each is scaled to its share of the whole, whatever its size (section 3.4).
Codebooks follow their rows by moving averages and take rows of the batch in place of codes that nobody uses.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from accelerate.utils import broadcast, reduce
from torch import Tensor, nn

from models.tokenizers.codec import Codec
from training.data.sounds import SoundSet
from training.objectives.discriminator import hinge_generator, hinge_real_fake
from training.objectives.spectra import magnitudes, mel_distance, spectrum_distance, stft_distance
from training.objectives.stft_discriminator import SoundDiscriminator, likeness_of_features
from training.objectives.task import Loss, StepContext
from training.randomness import generator_of
from training.settings import CodecSettings

SHOWN = 6
SAMPLED, SAMPLED_SECONDS, SAMPLED_AT_ONCE = 200, 2.0, 8
SETTLING = 20  # rounds of k-means
RARE = 0.01  # how often, at least, a code counts as chosen at first; the mean is 1
PICTURED = 512  # samples of a window


class CodecTask:
    """Trains a codec on crops of sounds."""

    parts: tuple[str, ...] = ("codec", "discriminator")
    undecayed: tuple[str, ...] = ()

    def __init__(self, codec: Codec, data: SoundSet, settings: CodecSettings) -> None:
        self.codec, self.data, self.settings = codec, data, settings
        self.rate = codec.config.sample_rate
        if data.rate != self.rate:
            raise ValueError(f"the sounds have {data.rate} samples a second, the codec {self.rate}")
        spectral = codec.ideal(torch.zeros(1, codec.config.channels, codec.config.hop)) is not None
        if max(settings.l1, settings.mel, settings.stft, settings.spectrum if spectral else 0.0) <= 0:
            raise ValueError("objective.l1, .mel, .stft" + (" and .spectrum" if spectral else "") + " are all 0")
        self.length = min(data.waves.shape[1], round(settings.crop_seconds * self.rate))
        discriminator = SoundDiscriminator(tuple(settings.windows), settings.width)
        self.balance = Balance(("spectrum", "l1", "mel", "stft", "adversarial", "features"))
        self.modules = nn.ModuleDict({"codec": codec, "discriminator": discriminator, "balance": self.balance})
        self.judge = discriminator
        self.books = [Book(layer) for layer in codec.quantizer.layers[: codec.config.codebooks]]
        self.rows: list[Tensor] = []  # what each codebook was shown in the last step

    @property
    def count(self) -> int:
        return len(self.data)

    def compile(self) -> None:
        for module in (self.codec.encoder, self.codec.decoder, self.judge):
            module.compile()

    def fetch(self, rows: Tensor, mine: slice) -> tuple[Tensor, ...]:
        """float32 [B, 1, N], from places that follow from the whole batch: others in every epoch."""
        most = self.data.waves.shape[1] - self.length
        begins = torch.randint(most + 1, rows.shape, generator=generator_of("crop", *rows.tolist()))
        return (self.data.crops(rows[mine], begins[mine], self.length),)

    def losses(self, context: StepContext) -> Iterator[Loss]:
        """The codec's loss, then - once the adversarial terms are on - the discriminator's."""
        s = self.settings
        real = context.data[0].to(next(self.codec.parameters()).device, non_blocking=True)
        features = self.codec.encoder(real).float()  # [B, D, T]
        quantized = context.step >= (first := round(s.quantized_from * context.steps))
        if context.part == 0 and context.step == first:
            self._seed(context.generator)
        keep = torch.randint(1, len(self.books) + 1, (context.size,), generator=context.generator)
        whole = torch.rand(context.size, generator=context.generator) >= s.fewer
        keep = torch.where(whole, len(self.books), keep)[context.mine].to(real.device)
        seen, commitment = self._quantize(features, keep) if quantized else (features, features.new_zeros(()))
        made = self.codec.make(seen).float()
        judged = context.step >= s.adversarial_from * context.steps
        terms, ideal = {}, self.codec.ideal(real)
        if ideal is not None:
            terms["spectrum"] = spectrum_distance(made.exp(), ideal.exp(), self.rate)
        fake = self.codec.heard(made, real) if judged or max(s.l1, s.mel, s.stft) > 0 else None
        if fake is not None:
            terms |= {
                "l1": F.l1_loss(fake, real),
                "mel": mel_distance(fake, real, self.rate),
                "stft": stft_distance(fake, real),
            }
        if judged and fake is not None:
            self.judge.requires_grad_(False)
            verdict, truth = self.judge(fake), self.judge(real)
            terms["adversarial"] = torch.stack([hinge_generator(logits) for logits, _ in verdict]).mean()
            terms["features"] = likeness_of_features(verdict, truth)
            self.judge.requires_grad_(True)
        weights = {name: getattr(s, name) for name in terms}
        pull = self.balance(made, terms, weights)
        scalars = terms | {"commitment": commitment}
        yield Loss("codec", (made * pull).sum() + s.commitment * commitment, scalars)
        if judged and fake is not None:
            verdict, truth = self.judge(fake.detach()), self.judge(real)
            pairs = zip(truth, verdict, strict=True)
            value = torch.stack([hinge_real_fake(ours, theirs) for (ours, _), (theirs, _) in pairs]).mean()
            yield Loss("discriminator", value, {"judge": value})

    def _quantize(self, features: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """Straight through: [B, D, T] -> the sum of the first `keep` [B] codes, and how far rows are from theirs."""
        left, made, self.rows = features, torch.zeros_like(features), []
        distances = []
        for at, book in enumerate(self.books):
            rows = left.detach().transpose(1, 2).flatten(0, 1)  # [B*T, D]
            ids = book.nearest(rows)
            book.count(ids, rows)
            self.rows.append(rows)
            chosen = book.table[ids].unflatten(0, (len(features), -1)).transpose(1, 2)
            used = (at < keep).view(-1, 1, 1)
            distances.append((used * (left - chosen).square()).mean())
            made = made + used * chosen
            left = left - chosen
        return features + (made - features).detach(), torch.stack(distances).mean()

    def after_step(self, context: StepContext) -> dict[str, float]:
        s, step = self.settings, context.step + 1
        if context.step < round(s.quantized_from * context.steps):
            return {}
        for book, rows in zip(self.books, self.rows, strict=True):
            book.follow(s.decay)
            if step % s.restart_every == 0 and step <= s.restart_until * context.steps:
                book.replace_dead(rows, context.generator, s.restart_below)
        if step % s.restart_every:
            return {}
        used = [book.perplexity() for book in self.books]
        return {f"perplexity{at + 1}": value for at, value in enumerate(used)}

    @torch.no_grad()
    def _seed(self, generator: torch.Generator) -> None:
        """Each codebook from what those before it leave of many sounds."""
        device = next(self.codec.parameters()).device
        with torch.autocast(device.type, enabled=False):
            parts = [self.codec.encoder(part.to(device)) for part in samples_of(self.data).split(SAMPLED_AT_ONCE)]
        left = torch.cat(parts).transpose(1, 2).flatten(0, 1)
        for book in self.books:
            book.seed(left, generator)
            for _ in range(SETTLING):
                book.settle(left)
            book.share()
            left = left - book.table[book.nearest(left)]

    @torch.no_grad()
    def picture(self, network: nn.Module) -> Tensor:
        """Pairs of rows: spectrograms of sounds above those of their reconstructions."""
        codec = cast(Codec, network)
        rows = torch.linspace(0, len(self.data) - 1, SHOWN).long()
        real = self.data.crops(rows, torch.zeros_like(rows), self.length).to(next(codec.parameters()).device)
        made = codec.decode(codec.encode(real))[..., : self.length]
        return torch.cat([pictures(real), pictures(made)], dim=1).cpu()


def samples_of(data: SoundSet) -> Tensor:
    """The beginnings of sounds from all over the set [B, C, N]."""
    rows = torch.arange(0, len(data), max(1, len(data) // SAMPLED))
    count = min(data.waves.shape[1], round(data.rate * SAMPLED_SECONDS))
    return data.crops(rows, torch.zeros_like(rows), count)


def pictures(waves: Tensor) -> Tensor:
    """Spectrograms side by side, uint8 [1, F, N * T]: 80 dB from black to white, low notes below."""
    levels = 20.0 * magnitudes(waves, PICTURED).clamp(min=1e-6).log10()  # [N, F, T]
    shades = 1.0 + (levels - levels.amax(dim=(1, 2), keepdim=True)) / 80.0
    return (shades.clamp(0, 1) * 255).to(torch.uint8).flip(1).permute(1, 0, 2).flatten(1).unsqueeze(0)


class Balance(nn.Module):
    """Gradients at what the decoder makes: `norms` are averages of their sizes."""

    norms: Tensor

    def __init__(self, names: tuple[str, ...], decay: float = 0.99) -> None:
        super().__init__()
        self.names, self.decay = names, decay
        self.register_buffer("norms", torch.zeros(len(names)))

    def forward(self, made: Tensor, terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
        """The direction that `made` is pulled in: each term by its share of the weights."""
        present = {name: term for name, term in terms.items() if weights[name] > 0}
        total = sum(weights[name] for name in present)
        pull = torch.zeros_like(made)
        for name, term in present.items():
            (gradient,) = torch.autograd.grad(term, made, retain_graph=True)
            at = self.names.index(name)
            size = reduce(gradient.flatten(1).norm(dim=1).mean(), "mean")
            kept = self.norms[at]
            self.norms[at] = torch.where(kept > 0, kept.lerp(size, 1.0 - self.decay), size)
            pull = pull + gradient * (weights[name] / total / self.norms[at].clamp(min=1e-12))
        return pull.detach() / len(made)


class Book:
    """A codebook of the quantizer under training; `sums` and `counts` gather what chose each code."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer: Any = layer.codebook
        self.counts = torch.zeros(len(self.table))
        self.sums = torch.zeros_like(self.table)

    @property
    def table(self) -> Tensor:
        """[codes, D]"""
        table: Tensor = self.layer.embed
        return table

    def nearest(self, rows: Tensor) -> Tensor:
        """[N, D] -> ids [N]."""
        table = self.table
        with torch.autocast(rows.device.type, enabled=False):  # as it will be served
            return (rows @ table.T - 0.5 * table.square().sum(dim=1)).argmax(dim=1)

    def count(self, ids: Tensor, rows: Tensor) -> None:
        """Of one share of a batch."""
        self.counts, self.sums = self.counts.to(rows.device), self.sums.to(rows.device)
        self.counts += torch.bincount(ids, minlength=len(self.counts))
        self.sums.index_add_(0, ids, rows)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """After a step: move codes towards the rows that chose them."""
        counts, sums = reduce(self.counts, "sum"), reduce(self.sums, "sum")
        size, average = self.layer.cluster_size, self.layer.embed_avg
        size.lerp_(counts, 1.0 - decay)
        average.lerp_(sums, 1.0 - decay)
        smooth = (size + 1e-5) / (size.sum() + len(size) * 1e-5) * size.sum()
        self.layer.embed.copy_(average / smooth.unsqueeze(1))
        self.counts.zero_()
        self.sums.zero_()

    @torch.no_grad()
    def seed(self, rows: Tensor, generator: torch.Generator) -> None:
        every = torch.ones(len(self.table), dtype=torch.bool, device=rows.device)
        self._move(every, rows, generator, size=1.0)

    @torch.no_grad()
    def settle(self, rows: Tensor) -> None:
        """A round of k-means; codes that no row chooses stay."""
        ids = self.nearest(rows)
        counts = torch.bincount(ids, minlength=len(self.table)).to(rows)
        sums = torch.zeros_like(self.table).index_add_(0, ids, rows)
        chosen = counts.unsqueeze(1) > 0
        self.layer.embed.copy_(torch.where(chosen, sums / counts.clamp(min=1.0).unsqueeze(1), self.table))
        self.layer.cluster_size.copy_((counts * (len(counts) / len(rows))).clamp(min=RARE))
        self.layer.embed_avg.copy_(self.table * self.layer.cluster_size.unsqueeze(1))

    def share(self) -> None:
        """Every process goes on with the first one's."""
        for value in (self.layer.embed, self.layer.cluster_size, self.layer.embed_avg):
            value.copy_(broadcast(value))

    @torch.no_grad()
    def replace_dead(self, rows: Tensor, generator: torch.Generator, below: float) -> None:
        """Codes that are chosen less than `below` times as often as an even use would."""
        size = self.layer.cluster_size
        self._move(size < below * size.mean(), rows, generator, size=float(size.mean()))

    def _move(self, which: Tensor, rows: Tensor, generator: torch.Generator, size: float) -> None:
        picks = torch.randint(len(rows), (len(which),), generator=generator).to(rows.device)
        jitter = 0.01 * rows.std() * torch.randn(self.table.shape, generator=generator).to(rows.device)
        moved = broadcast(torch.where(which[:, None], rows[picks] + jitter, self.table))
        self.layer.embed.copy_(moved)
        self.layer.cluster_size.copy_(
            torch.where(which, torch.full_like(self.layer.cluster_size, size), self.layer.cluster_size)
        )
        self.layer.embed_avg.copy_(torch.where(which[:, None], moved * size, self.layer.embed_avg))
        self.layer.inited.fill_(1.0)

    def perplexity(self) -> float:
        shares = self.layer.cluster_size / self.layer.cluster_size.sum()
        return float(torch.special.entr(shares).sum().exp())
