"""The T5 text encoder (`T5EncoderModel` of the transformers library) that conditions MAGNeT."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from models.checkpoint import CheckpointError


class TextEncoder:
    """A T5 in a local folder as transformers saves it, its tokenizer included; of float32 numbers, as published.

    A prompt passes alone: its states have no pads, and their bits do not depend on other prompts.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """CheckpointError, in one line, where the folder holds no T5."""
        from transformers import AutoTokenizer, T5EncoderModel  # seconds of imports: not before there is a model

        if not (folder / "config.json").is_file():
            raise CheckpointError(f"{folder}: no config.json of a T5")
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model: Any = T5EncoderModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        except (OSError, ValueError, SafetensorError) as error:
            raise CheckpointError(f"{folder}: holds no T5: {str(error).strip().splitlines()[0]}") from None
        self.model: Any = model.to(device).eval().requires_grad_(False)

    @property
    def dim(self) -> int:
        """Channels C of a state."""
        width: int = self.model.config.d_model
        return width

    @torch.inference_mode()
    def encode(self, prompt: str) -> Tensor | None:
        """Last hidden states [N, C] of a prompt's N tokens; None, the null text, for an empty one."""
        if not prompt:
            return None
        ids = self.tokenizer(prompt, return_tensors="pt").input_ids.to(self.model.device)
        states: Tensor = self.model(input_ids=ids).last_hidden_state
        return states[0]
