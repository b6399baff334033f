"""Runs a recipe's stages in a run directory and writes the checkpoint.

OUT/perceptual.safetensors       the frozen perceptual classifier (tokenizer recipes)
OUT/tokens.safetensors           the token cache, ids or latents (generator recipes)
OUT/state.pt metrics.jsonl samples/ tensorboard/
OUT/refine/                      the same of the decoder's second pass
OUT/checkpoint/                  what the service reads
OUT/tokenizer/                   the run of the tokenizer, when none was given to a generator
OUT/tokenizer-imported/          the tokenizer that was given, when diffusers saved it
"""

from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator

from models.checkpoint import DataSource
from training import processes
from training.data import load
from training.given_tokenizer import usable
from training.marks import clear
from training.recipe import Recipe, read_recipe
from training.sound_material import SoundMaterial, load_sounds
from training.stages.codec import train_codec
from training.stages.generator import train_generator
from training.stages.sound_generator import train_sound_generator
from training.stages.tokenizer import train_tokenizer
from training.stages.video import train_video_generator
from training.video_material import load_clips
from training.where import Material, Where

SOURCES = {
    "fashion": DataSource(
        name="Fashion-MNIST, 60,000 training images",
        licence="MIT",
        credit="Fashion-MNIST by Han Xiao, Kashif Rasul and Roland Vollgraf, (c) 2017 Zalando SE",
    ),
    "shapes": DataSource(name="shapes drawn in code", licence="Apache-2.0", credit="maskserve"),
}


def run_recipe(recipe: Recipe, where: Where, material: Material | None = None) -> Path:
    """Train what the recipe says, on its own data or on `material`; returns the checkpoint directory.

    Raises TrainingFailed and Stopped.
    """
    accelerator = processes.accelerator(where.device)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process and not where.resume:
        clear(where.out, {"--tokenizer": where.tokenizer, "--init-from": where.init_from})
    accelerator.wait_for_everyone()
    if recipe.codec is not None or recipe.sound is not None:
        return run_sounds(recipe, where, accelerator, load_sounds(recipe.data, where, accelerator))
    if recipe.video is not None:
        clips = load_clips(recipe.data, "train", recipe.video.network, where.data_dir)
        return train_video_generator(recipe, recipe.video, clips, where, accelerator)
    if material is None:
        material = Material(load(recipe.data, "train", where.data_dir), SOURCES[recipe.data])
    if recipe.generator is None:
        if recipe.tokenizer is None:
            raise ValueError(f"{recipe.name}: a recipe has a [tokenizer] or a [generator] table")
        return train_tokenizer(recipe, recipe.tokenizer, material, where, accelerator)
    if where.tokenizer is not None:
        place = usable(where.tokenizer, material.images.images.shape[-1], where.out, accelerator)
    else:
        place = _own_tokenizer(recipe, material, where, accelerator)
    return train_generator(recipe, recipe.generator, material, place, where, accelerator)


def run_sounds(recipe: Recipe, where: Where, accelerator: Accelerator, material: SoundMaterial) -> Path:
    """Train the codec or the generator, or both, of `recipe` on `material`. Raises TrainingFailed and Stopped."""
    if recipe.sound is None:
        assert recipe.codec is not None
        return train_codec(recipe, recipe.codec, material, where, accelerator)
    place = where.tokenizer
    if place is None:
        inner = replace(where, out=where.out / "tokenizer", stop_at=None)
        own = recipe if recipe.codec else read_recipe(recipe.tokenizer_recipe) if recipe.tokenizer_recipe else None
        if own is None or own.codec is None:
            raise ValueError(f"{recipe.name}: name a codec with --tokenizer")
        place = train_codec(own, own.codec, material, inner, accelerator)
    return train_sound_generator(recipe, recipe.sound, material, place, where, accelerator)


def _own_tokenizer(recipe: Recipe, material: Material, where: Where, accelerator: Accelerator) -> Path:
    """Train the recipe's tokenizer, or the one of the recipe it names."""
    inner = replace(where, out=where.out / "tokenizer", stop_at=None)
    if recipe.tokenizer is not None:
        return train_tokenizer(recipe, recipe.tokenizer, material, inner, accelerator)
    if recipe.tokenizer_recipe is None:
        raise ValueError(f"{recipe.name}: name a tokenizer with --tokenizer")
    return run_recipe(read_recipe(recipe.tokenizer_recipe), inner, material)
