"""Training a U-ViT on the ids of a VQ tokenizer."""

import copy
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from models.checkpoint import checkpoint_hash, read_config, tokenizer_directory
from models.maskgit.config import UViTConfig
from models.maskgit.decoder import MaskGITDecoder
from models.maskgit.network import UViT
from models.spec import Sampling
from models.tokenizers.base import Tokenizer
from models.tokenizers.kinds import TokenizerConfig
from models.weights import load_module
from training.data.images import ImageSet
from training.data.tokens import TokenSet, load_tokens, tokenise
from training.finetune import take_over
from training.generators.base import Picture, Tell, TokenCache
from training.generators.spec import in_training
from training.objectives.masked_tokens import MaskedTokenTask
from training.objectives.task import Task
from training.settings import MaskedTokenSettings


class MaskGITKind:
    name = "maskgit"
    config = UViTConfig
    settings = MaskedTokenSettings

    def following(self, tokenizer: TokenizerConfig, conditions: int, words: int) -> dict[str, object]:
        return {
            "grid": list(tokenizer.grid),
            "codebook_size": _codes(tokenizer),
            "num_classes": conditions,
            "words": words,
        }

    def check(self, sizes: UViTConfig, tokenizer: TokenizerConfig) -> None:
        codes, expected = _codes(tokenizer), sizes.codebook_size
        if codes != expected:
            raise ValueError(
                f"the tokenizer has {codes} codes, the generator {expected}: "
                f"--set generator.network.codebook_size={codes}"
            )
        if tokenizer.grid != sizes.grid:
            raise ValueError(f"generator.network.grid is {list(sizes.grid)}, the tokenizer's {list(tokenizer.grid)}")

    def network(self, sizes: UViTConfig) -> UViT:
        return UViT(sizes)

    def start(self, network: nn.Module, classes: list[str], checkpoint: Path) -> str:
        return str(take_over(cast(UViT, network), classes, checkpoint))

    def encode(
        self, tokenizer: Tokenizer, data: ImageSet, sizes: UViTConfig, settings: MaskedTokenSettings, tell: Tell
    ) -> TokenSet:
        return tokenise(tokenizer, data.images, data.labels, flip=settings.flip, tell=tell)

    def load(self, path: Path) -> TokenSet:
        return load_tokens(path)

    def teacher(self, settings: MaskedTokenSettings, classes: list[str], tokenizer: Path) -> UViT | None:
        """Its tokens and classes are the same."""
        if not settings.teacher:
            return None
        place = Path(settings.teacher)
        config = read_config(place)
        if checkpoint_hash(tokenizer_directory(place, config)) != checkpoint_hash(tokenizer):
            raise ValueError(f"generator.objective.teacher {place}: it has another tokenizer than {tokenizer}")
        if config.conditions != classes:
            raise ValueError(f"generator.objective.teacher {place}: it has other classes")
        return load_module(UViT(UViTConfig.from_dict(config.architecture)), place)

    def task(
        self,
        network: nn.Module,
        tokens: TokenCache,
        settings: MaskedTokenSettings,
        picture: Picture,
        teacher: nn.Module | None = None,
    ) -> Task:
        return MaskedTokenTask(
            cast(UViT, network), cast(TokenSet, tokens), settings, picture, cast(UViT | None, teacher)
        )

    def rehearsal(self, sizes: UViTConfig, settings: MaskedTokenSettings, labels: Tensor, device: torch.device) -> Task:
        tokens = TokenSet(torch.zeros(1, len(labels), sizes.length, dtype=torch.long), labels)
        teacher = UViT(sizes).to(device).eval().requires_grad_(False) if settings.distil > 0 else None
        return MaskedTokenTask(UViT(sizes), tokens, settings, lambda network: torch.empty(0), teacher)

    def decoder(self, network: nn.Module, tokenizer: Tokenizer, sampling: Sampling) -> MaskGITDecoder:
        trained = cast(UViT, network)
        own = UViT(trained.config)
        own.load_state_dict(trained.state_dict())
        spec = in_training(self.name, trained.config.grid, trained.config.num_classes, tokenizer.config, sampling)
        return MaskGITDecoder(spec, own, copy.deepcopy(tokenizer))


def _codes(tokenizer: TokenizerConfig) -> int:
    if not tokenizer.codebook_size:
        raise ValueError("the tokenizer has latents instead of codes, which is for generators of the family mar")
    return tokenizer.codebook_size
