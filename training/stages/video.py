"""The stage that trains an MCVD on clips."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from models.architecture import architecture_dict, parse_architecture
from models.checkpoint import CheckpointConfig
from models.decoding.noise import sequence_key
from models.mcvd.clip import Clip
from models.mcvd.family import FAMILY
from models.mcvd.network import MCVD
from models.mcvd.pixels import to_channels, to_frames
from models.mcvd.samplers import Sampler
from models.mcvd.stepper import ClipStepper
from models.mcvd.tasks import Task
from models.spec import Sampling
from models.weights import save_checkpoint
from training.marks import claim
from training.objectives.noise import NoiseTask
from training.objectives.passing import pass_on
from training.recipe import Recipe, VideoStage
from training.stages.common import CHECKPOINT, export, provenance, train
from training.video_material import VideoMaterial
from training.where import Where

PICTURED = 3  # clips, each as it is and as it is predicted
PICTURE_STEPS = 20


def train_video_generator(
    recipe: Recipe, stage: VideoStage, material: VideoMaterial, where: Where, accelerator: Accelerator
) -> Path:
    """Train the generator that `stage` describes in `where.out`; returns the checkpoint."""
    claim(where.out, {"clips": material.mark, "network": architecture_dict(stage.network)})
    parse_architecture(Sampling, stage.decoding, "video.decoding")
    torch.manual_seed(stage.train.seed)
    clips = material.clips

    def picture(network: MCVD) -> Tensor:
        return pictured(deepcopy(network), [clips.clip(at) for at in range(min(PICTURED, len(clips)))])

    begun = MCVD(stage.network)
    if stage.objective.passing and not pass_on(begun):
        raise ValueError("video.objective.passing: network.width is too small for it, or it takes SPADE's norms")
    task = NoiseTask(begun, clips, stage.objective, picture)
    config = CheckpointConfig(
        family=FAMILY,
        architecture=architecture_dict(replace(stage.network, dropout=0.0)),
        decoding=dict(stage.decoding),
        quality=dict(stage.quality),
        training=provenance(recipe, stage.train),
        data=[material.source],
        licence="Apache-2.0",
    )
    place = where.out / CHECKPOINT

    def saved(network: nn.Module) -> None:
        """A running directory can be served."""
        if accelerator.is_main_process:
            save_checkpoint(place, config, network.state_dict())

    network = train(task, stage.train, where, accelerator, "video", saved)
    return export(network, config, place, accelerator)


def pictured(network: MCVD, clips: list[np.ndarray]) -> Tensor:
    """uint8 [C, H, W]: for each clip [n, S, S, C] its frames in a row, and below what is predicted from the first."""
    config = network.config
    sampler = Sampler(steps=min(PICTURE_STEPS, config.train_steps))
    task = Task.PREDICTION if "prediction" in config.tasks else Task.INTERPOLATION
    given = [to_channels(clip) for clip in clips]
    behind = config.past_channels + config.block_channels
    made = [
        Clip.begin(config, sequence_key(0, at), task, sampler, config.frames, one[: config.past_channels], one[behind:])
        for at, one in enumerate(given)
    ]
    ClipStepper(network.float().eval(), device=network.leave.weight.device).run(made)
    rows = []
    for clip, one in zip(clips, made, strict=True):
        again = clip.copy()
        again[config.past : config.past + config.frames] = to_frames(one.frames, config.channels)
        rows += [np.concatenate(list(clip), axis=1), np.concatenate(list(again), axis=1)]
    return torch.from_numpy(np.concatenate(rows)).permute(2, 0, 1)
