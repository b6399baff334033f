"""Training a MAR on the latents of a KL autoencoder."""

import copy
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from models.mar.config import MARConfig
from models.mar.decoder import MARDecoder
from models.mar.network import MAR
from models.spec import Sampling
from models.tokenizers.base import Tokenizer
from models.tokenizers.kinds import TokenizerConfig
from models.tokenizers.kl import KLAutoencoder
from models.tokenizers.kl_config import KLConfig
from training.data.images import ImageSet
from training.data.latents import LatentSet, encode_latents, load_latents
from training.generators.base import Picture, Tell, TokenCache
from training.generators.spec import in_training
from training.objectives.masked_latents import MaskedLatentTask
from training.objectives.task import Task
from training.settings import MaskedLatentSettings


class MARKind:
    name = "mar"
    config = MARConfig
    settings = MaskedLatentSettings

    def following(self, tokenizer: TokenizerConfig, conditions: int, words: int) -> dict[str, object]:
        if words:
            raise ValueError("a mar generator has classes: pictures with captions are for the family maskgit")
        return {
            "grid": list(tokenizer.grid),
            "channels": _latents(tokenizer).latent_channels,
            "num_classes": conditions,
        }

    def check(self, sizes: MARConfig, tokenizer: TokenizerConfig) -> None:
        latents = _latents(tokenizer)
        if latents.latent_channels != sizes.channels:
            raise ValueError(
                f"the tokenizer has {latents.latent_channels} channels, the generator {sizes.channels}: "
                f"--set generator.network.channels={latents.latent_channels}"
            )
        if latents.grid != tuple(side * sizes.patch for side in sizes.grid):
            raise ValueError(
                f"generator.network.grid {list(sizes.grid)} of {sizes.patch}x{sizes.patch} latents "
                f"does not cover the tokenizer's {list(latents.grid)}"
            )

    def network(self, sizes: MARConfig) -> MAR:
        return MAR(sizes)

    def start(self, network: nn.Module, classes: list[str], checkpoint: Path) -> str:
        raise ValueError("--init-from is for generators of the family maskgit")

    def encode(
        self, tokenizer: Tokenizer, data: ImageSet, sizes: MARConfig, settings: MaskedLatentSettings, tell: Tell
    ) -> LatentSet:
        return encode_latents(
            cast(KLAutoencoder, tokenizer), data.images, data.labels, sizes.patch, flip=settings.flip, tell=tell
        )

    def load(self, path: Path) -> LatentSet:
        return load_latents(path)

    def teacher(self, settings: MaskedLatentSettings, classes: list[str], tokenizer: Path) -> None:
        return None

    def task(
        self,
        network: nn.Module,
        tokens: TokenCache,
        settings: MaskedLatentSettings,
        picture: Picture,
        teacher: nn.Module | None = None,
    ) -> Task:
        return MaskedLatentTask(cast(MAR, network), cast(LatentSet, tokens), settings, picture)

    def rehearsal(self, sizes: MARConfig, settings: MaskedLatentSettings, labels: Tensor, device: torch.device) -> Task:
        zeros = torch.zeros(1, len(labels), sizes.length, sizes.token_channels, dtype=torch.half)
        return MaskedLatentTask(MAR(sizes), LatentSet(zeros, zeros, labels), settings, lambda network: torch.empty(0))

    def decoder(self, network: nn.Module, tokenizer: Tokenizer, sampling: Sampling) -> MARDecoder:
        trained = cast(MAR, network)
        own = MAR(trained.config)
        own.load_state_dict(trained.state_dict())
        spec = in_training(self.name, trained.config.grid, trained.config.num_classes, tokenizer.config, sampling)
        return MARDecoder(spec, own, copy.deepcopy(tokenizer))


def _latents(tokenizer: TokenizerConfig) -> KLConfig:
    if not isinstance(tokenizer, KLConfig):
        raise ValueError("the tokenizer has codes instead of latents, which is for generators of the family maskgit")
    return tokenizer
