"""The settings beside official weights (`config.yml`), read as plain data: nothing in them is ever executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from models.checkpoint import CheckpointError
from models.mcvd.config import MCVDConfig

FIELDS: Mapping[str, str] = {
    "resolution": "data.image_size",
    "channels": "data.channels",
    "frames": "data.num_frames",
    "past": "data.num_frames_cond",
    "future": "data.num_frames_future",
    "width": "model.ngf",
    "multipliers": "model.ch_mult",
    "res_blocks": "model.num_res_blocks",
    "attention": "model.attn_resolutions",
    "head_channels": "model.n_head_channels",
    "dropout": "model.dropout",
    "spade": "model.spade",
    "spade_dim": "model.spade_dim",
    "past_embedding": "model.cond_emb",
    "mask_past": "data.prob_mask_cond",
    "mask_future": "data.prob_mask_future",
    "mask_together": "data.prob_mask_sync",
    "betas": "model.sigma_dist",
    "beta_noisiest": "model.sigma_begin",
    "beta_cleanest": "model.sigma_end",
    "train_steps": "model.num_classes",
}
"""Theirs by ours."""
ADDED_LATER = ("future", "spade_dim", "past_embedding", "mask_past", "mask_future", "mask_together")
"""What older files lack, and then has our default."""
NEEDED: Mapping[str, tuple[object, ...]] = {
    "model.arch": ("unetmore",),
    "model.version": ("DDPM", "DDIM"),
    "model.time_conditional": (True,),
    "model.gamma": (False, None),
    "model.noise_in_cond": (False, None),
    "model.output_all_frames": (False, None),
    "data.rescaled": (True,),
    "data.logit_transform": (False, None),
}
"""Settings that change the network or its pixels, with the values that we have; None: absent."""


PYTHON = "tag:yaml.org,2002:python/"


def read_settings(path: Path) -> dict[str, Any]:
    """Section -> name -> value; of a Python object (a Namespace) what it holds: a mapping, a list or a string.

    CheckpointError, in one line, for a file that is no YAML of sections.
    """
    try:
        loader = yaml.SafeLoader(path.read_bytes())
        loader.yaml_multi_constructors = {**loader.yaml_multi_constructors, PYTHON: _plain}
        found = loader.get_single_data()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise CheckpointError(f"{path}: no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: holds no settings")
    return found


def _plain(loader: Any, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


def setting(settings: Mapping[str, Any], name: str) -> Any:
    """`section.name`, None where it is absent."""
    section, _, key = name.partition(".")
    values = settings.get(section)
    return values.get(key) if isinstance(values, dict) else None


def config_of(path: Path, settings: Mapping[str, Any], spade: bool) -> MCVDConfig:
    """The architecture that `settings` of the file `path` say; `spade` is what the weights say, if they do not.

    CheckpointError names, in one line, settings that are missing, wrong or beyond this network.
    """
    for name, known in NEEDED.items():
        if (found := setting(settings, name)) not in known:
            raise CheckpointError(f"{path}: {name} is {found}, not {known[0]}")
    values = {ours: setting(settings, theirs) for ours, theirs in FIELDS.items()}
    values["spade"] = spade if values["spade"] is None else values["spade"]
    missing = [FIELDS[ours] for ours, value in values.items() if value is None and ours not in ADDED_LATER]
    if missing:
        raise CheckpointError(f"{path}: missing {', '.join(missing)}")
    try:
        return MCVDConfig.from_dict({ours: value for ours, value in values.items() if value is not None})
    except ValueError as error:
        named = str(error)
        for ours, theirs in FIELDS.items():
            named = named.replace(f"architecture.{ours}:", f"{theirs}:")
        raise CheckpointError(f"{path}: {named}") from None
