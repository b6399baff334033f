"""A T5 folder becomes a text encoder."""

from pathlib import Path

import pytest
import torch

from models.checkpoint import CheckpointError
from models.magnet.text import TextEncoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, and a word for a token."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    place = tmp_path_factory.mktemp("t5")
    words = {word: at for at, word in enumerate(("<pad>", "</s>", "<unk>", "disco", "beat", "slow", "bells"))}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(place)
    torch.manual_seed(0)
    sizes = T5Config(vocab_size=7, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0)
    T5EncoderModel(sizes).save_pretrained(place)
    return place


def test_a_prompt_has_a_state_for_every_token(folder: Path) -> None:
    encoder = TextEncoder(folder)
    assert encoder.dim == 16
    states = encoder.encode("disco beat")
    assert states is not None and states.shape == (3, 16) and states.dtype == torch.float32
    assert encoder.encode("") is None
    other = encoder.encode("slow bells beat disco")
    again = encoder.encode("disco beat")
    assert other is not None and again is not None
    assert other.shape == (5, 16) and torch.equal(again, states)


def test_folders_without_a_t5(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json of a T5"):
        TextEncoder(tmp_path)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
        if file.suffix == ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="holds no T5") as caught:
        TextEncoder(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no T5") as caught:
        TextEncoder(tmp_path)
    assert "\n" not in str(caught.value)
