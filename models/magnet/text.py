"""What turns prompts into rows: the T5 encoder of the transformers library, or the rows of known terms."""

from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from models.checkpoint import CheckpointError
from models.decoder import Condition


class TextSource(Protocol):
    """What turns a prompt into rows that a network is conditioned on."""

    def encode(self, condition: Condition) -> Tensor | None:
        """States [N, text_dim] on the network's device; None for the null text."""
        ...


class TextEncoder:
    """A T5 (`T5EncoderModel`) as transformers saves it, its tokenizer included; of float32 numbers, as published.

    A prompt passes alone: its states have no pads, and their bits do not depend on other prompts.
    """

    def __init__(self, source: Path | str, device: str = "cpu") -> None:
        """A local folder, or a name on the hub. CheckpointError, in one line, where there is no T5."""
        from transformers import AutoTokenizer, T5EncoderModel  # seconds of imports: not before there is a model

        here = isinstance(source, Path)
        if here and not (Path(source) / "config.json").is_file():
            raise CheckpointError(f"{source}: no config.json of a T5")
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(source, local_files_only=here)
            model: Any = T5EncoderModel.from_pretrained(source, local_files_only=here, dtype=torch.float32)
        except (OSError, ValueError, SafetensorError) as error:
            raise CheckpointError(f"{source}: holds no T5: {str(error).strip().splitlines()[0]}") from None
        self.model: Any = model.to(device).eval().requires_grad_(False)

    @property
    def dim(self) -> int:
        """Channels C of a state."""
        width: int = self.model.config.d_model
        return width

    @torch.inference_mode()
    def encode(self, condition: Condition) -> Tensor | None:
        """Last hidden states [N, C] of a prompt's N tokens; None, the null text, for an empty one."""
        if not condition:
            return None
        ids = self.tokenizer(condition, return_tensors="pt").input_ids.to(self.model.device)
        states: Tensor = self.model(input_ids=ids).last_hidden_state
        return states[0]


class TermRows:
    """A set of known terms: one row each, trained with the network."""

    def __init__(self, rows: nn.Embedding) -> None:
        self.rows = rows

    @torch.inference_mode()
    def encode(self, condition: Condition) -> Tensor | None:
        """The rows [N, C] of N terms; None for none."""
        terms = cast(tuple[int, ...], condition)
        return self.rows(torch.tensor(terms, device=self.rows.weight.device)) if terms else None
