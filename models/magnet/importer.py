"""What audiocraft exports of a MAGNeT (`state_dict.bin`, `compression_state_dict.bin`) -> a checkpoint directory."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.architecture import architecture_dict, parse_architecture
from models.audiocraft import SETTINGS, Exported
from models.checkpoint import CheckpointConfig, CheckpointError
from models.importing import Imported, forbids_commerce
from models.keys import Rules, renamed, translate
from models.magnet.config import MAGNeTConfig
from models.magnet.consistency import check_decoding, fitting_codec
from models.magnet.decoding import Decoding
from models.magnet.network import MAGNeT
from models.official import shape_of
from models.staging import fresh_directory
from models.tokenizers.codecs import read_codec
from models.tokenizers.encodec_importer import import_encodec
from models.weights import save_checkpoint

LICENCE = "CC-BY-NC-4.0"
"""Of all published weights."""
WEIGHTS = "state_dict.bin"
CODEC = "compression_state_dict.bin"
TOKENIZER = "tokenizer"

FUSED = "in_proj_weight"
OFFICIAL: Rules = (
    (r"^embeddings\.", "emb."),
    (r"^text_in\.", "condition_provider.conditioners.description.output_proj."),
    (r"^norm\.", "out_norm."),
    (r"^heads\.", "linears."),
    (r"^blocks\.", "transformer.layers."),
    (r"\battn\.qkv\.weight$", f"self_attn.{FUSED}"),
    (r"\battn\.proj\.", "self_attn.out_proj."),
    (r"\btext_attn\.(q|kv)\.weight$", rf"cross_attention.{FUSED}[\1]"),
    (r"\btext_attn\.proj\.", "cross_attention.out_proj."),
    (r"\bnorm_text\.", "norm_cross."),
    (r"\bmlp\.fc([12])\.", r"linear\1."),
)
TRANSFORMER = {
    "n_q": "codebooks",
    "card": "codebook_size",
    "dim": "dim",
    "num_layers": "depth",
    "num_heads": "heads",
    "hidden_scale": "mlp_ratio",
    "subcodes_context": "context",
}
FIXED = {"positional_embedding": "sin", "activation": "gelu", "norm": "layer_norm", "norm_first": True}
"""Settings that must have this value where they are given: what a `MAGNeT` is."""
GENERATE = {
    "decoding_steps": "steps",
    "temp": "temperature",
    "anneal_temp": "anneal",
    "top_k": "top_k",
    "top_p": "top_p",
    "span_arrangement": "arrangement",
    "span_scoring": "scoring",
    "use_sampling": "greedy",
}


def official_key(key: str) -> str:
    """The published name of a tensor of `MAGNeT`; [q] and [kv] are rows of one that is fused."""
    return renamed(key, OFFICIAL)


def read_magnet(source: Path, frame_rate: int) -> tuple[MAGNeTConfig, Decoding, Exported]:
    """Sizes, sampling defaults and weights, by our names, of an official file for a codec of `frame_rate` Hz.

    Every key must be used: CheckpointError names those that are not.
    """
    found = Exported.read(source)
    config = _sizes(found, frame_rate)
    state = translate(source, _split(found, config), lambda: MAGNeT(config), official_key)
    return config, _decoding(found, config), Exported(source, state, found.settings)


def import_magnet(
    source: Path,
    out: Path,
    tokenizer: Path | None = None,
    licence: str = LICENCE,
    dtype: torch.dtype | None = None,
) -> Imported:
    """Write the checkpoint directory `out` from the folder of an official model, or its `state_dict.bin`.

    The codec beside it becomes `out`/tokenizer, unless `tokenizer`, an imported one, is to be referred to by relative
    path. `dtype` of the network's numbers: as in the file. The T5 encoder, which no such file holds, is not included.
    """
    source = source / WEIGHTS if source.is_dir() else source
    with fresh_directory(out) as place:
        codec = tokenizer or place / TOKENIZER
        if tokenizer is None:
            import_encodec(source.parent / CODEC, codec, licence)
        config, decoding, found = read_magnet(source, read_codec(codec).frame_rate)
        fitting_codec(source, config, codec)
        card = CheckpointConfig(
            family="magnet",
            architecture=architecture_dict(config),
            tokenizer=TOKENIZER if tokenizer is None else Path(os.path.relpath(tokenizer, out)).as_posix(),
            decoding=decoding.defaults,
            quality={"low": decoding.total // 2, "medium": decoding.total, "high": decoding.total * 2},
            training={"imported_from": source.resolve().parent.name},
            licence=licence,
            noncommercial=forbids_commerce(licence),
        )
        save_checkpoint(place, card, found.state, dtype or found.dtype)
    return Imported(out, len(found.state), sum(value.numel() for value in found.state.values()), (), licence)


def _sizes(found: Exported, frame_rate: int) -> MAGNeTConfig:
    for name, value in found.settings_of("transformer_lm", {name: name for name in FIXED}).items():
        if value != FIXED[name]:
            raise CheckpointError(f"{found.source}: {SETTINGS}: transformer_lm.{name} {value} is not supported")
    text = official_key("text_in.weight")
    try:
        return MAGNeTConfig.from_dict(
            {
                **{ours: found.setting(f"transformer_lm.{theirs}") for theirs, ours in TRANSFORMER.items()},
                "frame_rate": frame_rate,
                "seconds": found.setting("dataset.segment_duration"),
                "span": found.setting("masking.span_len"),
                "text_encoder": found.setting("conditioners.description.t5.name"),
                "text_dim": shape_of(found.source, found.state, text)[1],
            }
        )
    except ValueError as error:
        raise CheckpointError(f"{found.source}: {error}") from None


def _split(found: Exported, config: MAGNeTConfig) -> dict[str, Tensor]:
    """Attention to texts has one fused weight: the first rows make queries, the others keys and values."""
    state = dict(found.state)
    for block in range(config.depth):
        name = official_key(f"blocks.{block}.text_attn.q.weight").removesuffix("[q]")
        shape, wanted = shape_of(found.source, state, name), (3 * config.dim, config.dim)
        if shape != wanted:
            raise CheckpointError(f"{found.source}: wrong shape {name} is {list(shape)}, not {list(wanted)}")
        state[f"{name}[q]"], state[f"{name}[kv]"] = state.pop(name).split((config.dim, 2 * config.dim))
    return state


def _decoding(found: Exported, config: MAGNeTConfig) -> Decoding:
    """The file's own defaults, those of the published code where it has none."""
    values: dict[str, Any] = {}
    if "generate" in found.settings and "lm" in found.setting("generate"):
        values = found.settings_of("generate.lm", GENERATE)
        scales = found.settings_of("generate.lm", {"max_cfg_coef": "first", "min_cfg_coef": "last"})
        values["guidance"] = (scales.get("first", 10.0), scales.get("last", 1.0))
    values["greedy"] = not values.get("greedy", True)
    values["top_p"] = values.get("top_p", Decoding.top_p) or 1.0  # theirs: 0 is off
    if values["top_p"] < 1.0:
        values["top_k"] = 0  # as theirs, which reads top_p alone then
    try:
        decoding = parse_architecture(Decoding, values, "decoding")
        check_decoding(decoding, config)
    except ValueError as error:
        raise CheckpointError(f"{found.source}: {SETTINGS}: generate.lm: {error}") from None
    return decoding
