"""MCVD networks to measure: random weights of a named size, in a servable directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bench.context import Context
from models.architecture import architecture_dict
from models.catalogue import Catalogue
from models.checkpoint import CheckpointConfig
from models.mcvd.config import MCVDConfig
from models.mcvd.decoder import MCVDDecoder
from models.mcvd.network import MCVD
from models.weights import save_checkpoint

SMALL = MCVDConfig(
    future=5, width=24, multipliers=(1, 2, 3, 4), res_blocks=1, attention=(8, 16), head_channels=24, dropout=0.0,
    mask_past=0.5, mask_future=0.5,
)  # fmt: skip
"""That of the recipe `smmnist-mcvd`."""


def random_network(sizes: MCVDConfig) -> MCVD:
    """Whose layers that begin as nothing are something."""
    torch.manual_seed(0)
    network = MCVD(sizes)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter[0].numel() ** -0.5)
    return network.eval().requires_grad_(False)


@contextmanager
def small_checkpoint(context: Context) -> Iterator[Path]:
    """The checkpoint of the bench, else one of its size with random weights."""
    trained = context.checkpoint
    with TemporaryDirectory() as scratch:
        place = trained or Path(scratch) / "small, random weights"
        if trained is None:
            card = CheckpointConfig(
                family="mcvd",
                architecture=architecture_dict(SMALL),
                decoding={"num_inference_steps": 50},
                licence="Apache-2.0",
            )
            context.aside(lambda: save_checkpoint(place, card, random_network(SMALL).state_dict()))
        yield place


def load(directory: Path, device: str, dtype: str) -> MCVDDecoder:
    [entry] = Catalogue.scan([directory]).entries.values()
    decoder = entry.family.load(entry.spec, entry.path, device, dtype)
    assert isinstance(decoder, MCVDDecoder)
    return decoder
