"""The loop: killed and resumed equals undisturbed, randomness without state, averaged weights."""

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from models.architecture import architecture_dict
from models.checkpoint import CheckpointConfig
from models.mar.config import MARConfig
from models.mar.network import MAR
from models.maskgit.config import UViTConfig
from models.maskgit.network import UViT
from models.tokenizers.kl import KLAutoencoder
from models.tokenizers.kl_config import KLConfig
from models.tokenizers.vqgan import VQGAN
from models.tokenizers.vqgan_config import VQGANConfig
from models.weights import save_checkpoint
from training.data import load
from training.data.latents import LatentSet
from training.data.tokens import TokenSet
from training.ema import Ema
from training.journal import read_journal
from training.objectives.autoencoder import AutoencoderTask
from training.objectives.masked_latents import MaskedLatentTask
from training.objectives.masked_tokens import MaskedTokenTask
from training.objectives.task import Task
from training.objectives.tokenizer import TokenizerTask
from training.randomness import Batches
from training.settings import (
    AutoencoderSettings,
    MaskedLatentSettings,
    MaskedTokenSettings,
    TokenizerSettings,
    TrainSettings,
)
from training.trainer import Trainer

SETTINGS = TrainSettings(steps=8, batch=16, lr=1e-3, warmup=2, bf16=False, log_every=2, save_every=2, sample_every=100)


def tokenizer_task() -> Task:
    torch.manual_seed(0)
    settings = TokenizerSettings(adversarial_from=0.3, restart_every=2, restart_below=0.9)
    return TokenizerTask(VQGAN(VQGANConfig.preset("tiny")), load("shapes", "train"), settings, None)


def save_vqgan(place: Path) -> Path:
    config = VQGANConfig.preset("tiny")
    card = CheckpointConfig(family="vqgan", architecture=architecture_dict(config), licence="Apache-2.0")
    torch.manual_seed(0)
    save_checkpoint(place, card, VQGAN(config).state_dict())
    return place


def token_task(dropout: float = 0.1) -> Task:
    torch.manual_seed(0)
    config = replace(UViTConfig.preset("tiny"), dropout=dropout)
    tokens = TokenSet(torch.randint(32, (2, 64, 16)), torch.arange(64) % 4)
    white = torch.zeros(1, 4, 4, dtype=torch.uint8)
    return MaskedTokenTask(UViT(config), tokens, MaskedTokenSettings(), lambda network: white)


def autoencoder_task() -> Task:
    torch.manual_seed(0)
    settings = AutoencoderSettings(adversarial=0.1, adversarial_from=0.3)
    return AutoencoderTask(KLAutoencoder(KLConfig.preset("tiny")), load("shapes", "train"), settings, None)


def latent_task(dropout: float = 0.1) -> Task:
    torch.manual_seed(0)
    config = replace(MARConfig.preset("tiny"), dropout=dropout)
    moments = torch.randn(2, 2, 64, config.length, config.token_channels).half()
    latents = LatentSet(moments[0], moments[1].abs(), torch.arange(64) % 4)
    white = torch.zeros(1, 4, 4, dtype=torch.uint8)
    return MaskedLatentTask(MAR(config), latents, MaskedLatentSettings(repeats=2), lambda network: white)


TASKS = [tokenizer_task, autoencoder_task, token_task, latent_task]


def trainer(task: Task, place: Path) -> Trainer:
    return Trainer(task, SETTINGS, place, Accelerator(cpu=True))


@pytest.mark.parametrize("make", TASKS)
def test_killed_and_resumed_equals_undisturbed(make, tmp_path: Path) -> None:
    whole = trainer(make(), tmp_path / "whole")
    whole.run()

    first = trainer(make(), tmp_path / "parts")
    first.run(stop_at=5)
    # The crash loses what came after the save of step 4.
    (tmp_path / "parts" / "state.pt").unlink()
    first = trainer(make(), tmp_path / "parts")
    first.run(stop_at=4)
    second = trainer(make(), tmp_path / "parts")
    assert second.resume() and second.step == 4
    second.run()

    assert second.step == whole.step == 8
    for name, value in whole.task.modules.state_dict().items():
        assert torch.equal(value, second.task.modules.state_dict()[name]), name
    for name, value in whole.ema.network.state_dict().items():
        assert torch.equal(value, second.ema.network.state_dict()[name]), name
    strip = [
        [{k: v for k, v in e.items() if k != "time"} for e in read_journal(tmp_path / place)]
        for place in ("whole", "parts")
    ]
    assert strip[0] == strip[1] and [e["step"] for e in strip[0]] == [2, 4, 6, 8]


@pytest.mark.parametrize(("make", "name"), [(tokenizer_task, "l1"), (autoencoder_task, "l1"), (latent_task, "mse")])
def test_training_changes_the_weights_and_lowers_the_loss(make, name: str, tmp_path: Path) -> None:
    settings = TrainSettings(steps=40, batch=32, lr=3e-3, warmup=2, bf16=False, log_every=1)
    Trainer(make(), settings, tmp_path, Accelerator(cpu=True)).run()
    curve = [entry[f"loss/{name}"] for entry in read_journal(tmp_path)]
    assert sum(curve[-5:]) < 0.7 * sum(curve[:5])


def test_decoder_only_keeps_every_token(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = load("shapes", "train")
    tokenizer = VQGAN(VQGANConfig.preset("tiny"))
    images = data.images[:8] / 255
    before, picture = tokenizer.encode(images), tokenizer.decode(tokenizer.encode(images))
    settings = TokenizerSettings(decoder_only=True, adversarial_from=0.0, restart_every=1)
    network = trainer(TokenizerTask(tokenizer, data, settings, None), tmp_path).run()
    assert isinstance(network, VQGAN)
    assert torch.equal(network.encode(images), before)
    assert not torch.equal(network.decode(before), picture)


def test_batches_cover_an_epoch_and_differ_between_epochs() -> None:
    batches = Batches(10, 3, seed=5)
    epochs = [torch.cat([batches.rows(3 * e + i) for i in range(3)]) for e in range(2)]
    assert all(len(set(rows.tolist())) == 9 for rows in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(Batches(10, 3, seed=5).rows(4), epochs[1][3:6])


def test_two_processes_train_like_one(tmp_path: Path) -> None:
    settings = {"steps": 20, "log_every": 1, "save_every": 50, "sample_every": 50}
    options = [part for key, value in settings.items() for part in ("--set", f"generator.train.{key}={value}")]
    vq = save_vqgan(tmp_path / "vq")
    losses = []
    for processes in (1, 2):
        out = tmp_path / f"by{processes}"
        launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(processes), "--num_machines", "1"]
        launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
        run = ["--module", "training.cli", "run", "tiny-maskgit", "--out", str(out), "--tokenizer", str(vq), *options]
        port = ["--main_process_port", "0"] if processes > 1 else []
        subprocess.run([sys.executable, *launch, *port, *run], check=True, capture_output=True, timeout=150)
        losses.append([entry["loss/masked"] for entry in read_journal(out)])
    assert len(losses[0]) == 20 and losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.parametrize("make", [token_task, latent_task])
def test_accumulated_parts_train_like_the_whole_batch(make, tmp_path: Path) -> None:
    losses = []
    for parts in (1, 4):
        settings = replace(SETTINGS, steps=20, log_every=1, accumulate=parts)
        Trainer(make(dropout=0.0), settings, tmp_path / str(parts), Accelerator(cpu=True)).run()
        losses.append([entry["loss"] for entry in read_journal(tmp_path / str(parts))])
    assert len(losses[0]) == 20 and losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_a_batch_has_a_sample_for_every_share(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch of 16 cannot be shared"):
        Trainer(token_task(), replace(SETTINGS, accumulate=17), tmp_path, Accelerator(cpu=True))


@pytest.mark.parametrize("make", TASKS)
def test_data_fetched_ahead_is_the_same(make, tmp_path: Path) -> None:
    runs = [Trainer(make(), replace(SETTINGS, workers=n), tmp_path / str(n), Accelerator(cpu=True)) for n in (0, 3)]
    for run in runs:
        run.run()
    plain, ahead = (run.task.modules.state_dict() for run in runs)
    assert all(torch.equal(plain[name], ahead[name]) for name in plain)


def test_killed_at_random_steps_and_resumed_equals_undisturbed(tmp_path: Path) -> None:
    """kill -9, again and again, until the run is through."""
    vq = save_vqgan(tmp_path / "vq")
    settings = {"steps": 60, "log_every": 1, "save_every": 3, "sample_every": 1000, "bf16": "false"}
    options = [part for key, value in settings.items() for part in ("--set", f"generator.train.{key}={value}")]

    def start(name: str) -> subprocess.Popen[bytes]:
        run = ["run", "tiny-maskgit", "--out", str(tmp_path / name), "--tokenizer", str(vq), "--threads", "1", *options]
        return subprocess.Popen([sys.executable, "-m", "training.cli", *run], stdout=subprocess.DEVNULL)

    assert start("whole").wait(timeout=120) == 0
    lots, journal, killed = random.Random(4), tmp_path / "parts" / "metrics.jsonl", []
    while len(killed) < 3:
        run, until = start("parts"), (killed[-1] if killed else 0) + lots.randint(4, 17)
        while run.poll() is None and steps(journal) < until:
            time.sleep(0.002)
        if run.poll() is None:
            run.kill()
            killed.append(steps(journal))
        run.wait()
    assert start("parts").wait(timeout=120) == 0
    assert killed == sorted(set(killed)) and killed[-1] < 60
    whole, parts = (torch.load(tmp_path / name / "state.pt") for name in ("whole", "parts"))
    assert parts["step"] == 60
    for part in ("modules", "ema"):
        assert all(torch.equal(whole[part][name], parts[part][name]) for name in whole[part])
    weights = [(tmp_path / name / "checkpoint" / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def steps(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.is_file() else 0


def test_what_does_not_decay(tmp_path: Path) -> None:
    task = latent_task()
    names = {id(p): name for name, p in task.modules["network"].named_parameters()}
    groups = trainer(task, tmp_path).optimisers["network"].param_groups
    decayed, others = ({names[id(p)] for p in group["params"]} for group in groups)
    assert [group["weight_decay"] for group in groups] == [SETTINGS.weight_decay, 0.0]
    assert {"token_in.weight", "encoder.0.attn.qkv.weight", "decoder_in.weight"} <= decayed
    assert {"token_in.bias", "class_embedding.weight", "encoder_positions", "head.leave.weight", "mask_token"} <= others
    assert len(decayed) + len(others) == len(names)


def test_rate_warms_up_and_falls_to_its_floor() -> None:
    settings = TrainSettings(steps=100, batch=1, lr=1.0, warmup=10, final_lr=0.1)
    rates = [settings.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.1)


def test_average_follows_slowly_and_starts_quickly() -> None:
    source = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(source.weight)
    ema = Ema(source, decay=0.9)
    nn.init.ones_(source.weight)
    ema.update(source, step=0)
    assert ema.network.weight.item() == pytest.approx(0.9)
    nn.init.zeros_(source.weight)
    ema.update(source, step=10_000)
    assert ema.network.weight.item() == pytest.approx(0.81)
