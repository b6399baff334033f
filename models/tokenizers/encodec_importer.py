"""The codec that audiocraft exports (`compression_state_dict.bin`) -> a tokenizer directory."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from models.architecture import architecture_dict
from models.audiocraft import SETTINGS, Exported
from models.checkpoint import CheckpointConfig, CheckpointError
from models.importing import UNKNOWN_LICENCE, Imported, forbids_commerce
from models.keys import Rules, renamed, translate
from models.tokenizers.codecs import codec_family
from models.tokenizers.encodec import EnCodec
from models.tokenizers.encodec_config import EnCodecConfig
from models.weights import save_checkpoint

OFFICIAL: Rules = (
    (r"^(encoder|decoder)\.layers\.", r"\1.model."),
    (r"\bconv\.parametrizations\.weight\.original0$", "conv.weight_g"),
    (r"\bconv\.parametrizations\.weight\.original1$", "conv.weight_v"),
    (r"\bconv\.(weight_g|weight_v|bias)$", r"conv.conv.\1"),
    (r"^quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook."),
)
SEANET = {
    "dimension": "dimension",
    "n_filters": "filters",
    "n_residual_layers": "residual_layers",
    "ratios": "ratios",
    "lstm": "lstm_layers",
    "kernel_size": "kernel_size",
    "last_kernel_size": "last_kernel_size",
    "residual_kernel_size": "residual_kernel_size",
    "dilation_base": "dilation_base",
    "compress": "compress",
}
FIXED = {
    "seanet.norm": "weight_norm",
    "seanet.disable_norm_outer_blocks": 0,
    "seanet.activation": "ELU",
    "encodec.renormalize": False,
}
"""Settings that must have this value where they are given: what an `EnCodec` is."""


def official_key(config: EnCodecConfig, key: str) -> str:
    """The published name of a tensor of `EnCodec`."""
    parts = key.split(".")
    if parts[0] == "decoder" and int(parts[2]) in _upsampling(config):
        return renamed(key, OFFICIAL).replace(".conv.conv.", ".convtr.convtr.")
    return renamed(key, OFFICIAL)


def _upsampling(config: EnCodecConfig) -> range:
    """Where the decoder's transposed convolutions are: behind a convolution, the LSTM and an ELU, then every stage."""
    stage = 2 + config.residual_layers
    return range(3, 3 + stage * len(config.ratios), stage)


def read_encodec_export(source: Path) -> tuple[EnCodecConfig, dict[str, Tensor]]:
    """Sizes and weights, by our names, of an official file. Every key must be used: CheckpointError names others."""
    found = Exported.read(source)
    config = _sizes(found)
    return config, translate(source, found.state, lambda: EnCodec(config), partial(official_key, config))


def _sizes(found: Exported) -> EnCodecConfig:
    for path, wanted in FIXED.items():
        section, name = path.split(".")
        for value in found.settings_of(section, {name: name}).values():
            if value != wanted:
                raise CheckpointError(f"{found.source}: {SETTINGS}: {path} {value} is not supported")
    skip = found.settings_of("seanet", {"true_skip": "true_skip"}).get("true_skip", True)
    try:
        return EnCodecConfig.from_dict(
            {
                "sample_rate": found.setting("sample_rate"),
                "channels": found.setting("channels"),
                **found.settings_of("seanet", SEANET),
                "shortcut": not skip,
                "causal": found.setting("encodec.causal"),
                "pad_mode": found.setting("seanet.pad_mode"),
                "codebooks": found.setting("rvq.n_q"),
                "codebook_size": found.setting("rvq.bins"),
            }
        )
    except ValueError as error:
        raise CheckpointError(f"{found.source}: {error}") from None


def import_encodec(
    source: Path, out: Path, licence: str = UNKNOWN_LICENCE, dtype: torch.dtype = torch.float32
) -> Imported:
    """Write the tokenizer directory `out` from an official file, as `read_encodec_export` reads it."""
    config, state = read_encodec_export(source)
    card = CheckpointConfig(
        family=codec_family(config),
        architecture=architecture_dict(config),
        training={"imported_from": source.name},
        licence=licence,
        noncommercial=forbids_commerce(licence),
    )
    save_checkpoint(out, card, state, dtype)
    return Imported(out, len(state), sum(value.numel() for value in state.values()), (), licence)
