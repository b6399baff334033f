"""Same plan, same bytes: neighbours, arrivals, previews, other clients' hang-ups and resumes change nothing.

Shared by all families: every checkpoint that ships is run, and one of each family with random weights.
The files are compared over HTTP. Behind it logits (or what a diffusion head is told) are compared bit by bit, through
the decoder's `probe`: with small numerical leaks between neighbours drawn tokens, and so files, nearly always agree.
"""

import asyncio
import threading
import time
from collections.abc import Sequence as Seq
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor

from models.catalogue import Catalogue, Entry
from models.decoder import GenerationRequest, IterativeDecoder, Kind, Sequence
from models.magnet.config import MAGNeTConfig
from models.mar.config import MARConfig
from models.maskgit.config import UViTConfig
from models.mcvd.config import MCVDConfig
from models.spec import DecoderSpec, Sampling, Task
from models.tokenizers.encodec_config import EnCodecConfig
from models.tokenizers.kl_config import KLConfig
from models.tokenizers.vqgan_config import VQGANConfig
from service.engine.batch import StepRecord
from service.engine.engine import Engine
from service.engine.events import Event, Failed, SampleDone, Saved, Terminal
from service.engine.mailbox import Mailbox
from service.engine.policy import Policy
from service.engine.request import Ticket
from tests.e2e.asks import Ask, made_before, random_ask
from tests.live import Live, one_thread_count, serving
from tests.tiny import tiny_checkpoint, tiny_magnet_checkpoint, tiny_mar_checkpoint, tiny_mcvd_checkpoint


def random_maskgit(path: Path) -> Path:
    network = replace(UViTConfig.preset("fashion"), num_classes=4, dim=256, heads=8, depth=2)
    tokenizer = replace(VQGANConfig.preset("tiny"), resolution=32, codebook_size=512)
    return tiny_checkpoint(path, network=network, tokenizer=tokenizer)


def random_mar(path: Path) -> Path:
    network = MARConfig(
        grid=(8, 8), channels=4, num_classes=4, buffer=8, encoder_dim=192, encoder_depth=2, encoder_heads=6,
        decoder_dim=256, decoder_depth=2, decoder_heads=8, head_depth=2, head_width=256, diffusion_steps=8,
    )  # fmt: skip
    return tiny_mar_checkpoint(path, network=network, tokenizer=replace(KLConfig.preset("tiny"), resolution=32))


SHIPPED = Path(__file__).resolve().parents[2] / "checkpoints"


def random_magnet(path: Path) -> Path:
    codec = EnCodecConfig(
        sample_rate=8000, dimension=16, filters=8, ratios=(8, 5, 4), lstm_layers=1, codebook_size=64, codebooks=4
    )
    network = MAGNeTConfig(
        codebook_size=64, frame_rate=50, seconds=1.0, dim=128, depth=2, heads=4, text_dim=32, text_encoder="", terms=6
    )
    return tiny_magnet_checkpoint(path, "random-magnet", network=network, codec=codec, twin=True)


def random_mcvd(path: Path) -> Path:
    network = MCVDConfig(
        resolution=16, channels=3, frames=2, past=2, future=1, width=16, multipliers=(1, 2), res_blocks=1,
        attention=(8,), head_channels=16, dropout=0.0, spade=True, spade_dim=8, mask_past=0.5, mask_future=0.5,
    )  # fmt: skip
    return tiny_mcvd_checkpoint(path, "random-mcvd", network=network)


RANDOM = {
    "random-maskgit": random_maskgit,
    "random-mar": random_mar,
    "random-magnet": random_magnet,
    "random-mcvd": random_mcvd,
}
CHECKPOINTS = {
    **dict.fromkeys(RANDOM),
    **{id: entry.path for id, entry in Catalogue.scan([SHIPPED]).entries.items()},
}
MIXES = {1: 160, 2: 40}  # over HTTP, by thread count
SHARES = {"maskgit-fashion": 1, "magnet-loops": 8}  # of them, one in so many: each sound is a second of work
OTHERS = 4
REQUESTS = {1: 20, 2: 10}  # whose logits are compared
ASKS = 20  # different requests over HTTP, at most
POLICY = Policy(tick_seconds=10.0, max_waiting=1000, log_size=1 << 20)  # a slow machine batches too
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=CHECKPOINTS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shipped = CHECKPOINTS[request.param]
    return shipped or RANDOM[request.param](tmp_path_factory.mktemp("random"))


# -- files over HTTP


@pytest.mark.parametrize("threads", MIXES)
async def test_files_are_those_of_a_lone_request(checkpoint: Path, threads: int) -> None:
    rng = Random(threads)
    count = MIXES[threads] // SHARES.get(checkpoint.name, OTHERS)
    with serving([checkpoint], threads, POLICY) as live:
        [entry] = live.engine.catalogue.entries.values()
        async with live.http() as client:
            kept = await made_before(client, entry.spec)
            asks = [random_ask(rng, entry.spec, seed, kept) for seed in range(min(ASKS, count))]
            wanted = [await ask.streamed(client, partials=3) for ask in asks]
            live.engine.scheduler.log.clear()
            room = asyncio.Semaphore(6)
            mixes = [_mix(live, asks, wanted, room, seed) for seed in range(count)]
            wrong = [line for lines in await asyncio.gather(*mixes) for line in lines]
        assert not wrong, f"{len(wrong)} differ, first: {wrong[0]}"
        live.wait_idle()  # the last to hang up may still be on its way out
        log = list(live.engine.scheduler.log)
        assert live.engine.scheduler.memory == 0
    assert_batched(log, entry.spec)


async def _mix(
    live: Live,
    asks: Seq[Ask],
    wanted: Seq[tuple[list[bytes], dict[tuple[int, int], bytes]]],
    room: asyncio.Semaphore,
    seed: int,
) -> list[str]:
    """One to three requests at random moments, with streams and hang-ups, beside the other mixes; says what differs."""
    rng = Random(1000 + seed)
    wrong: list[str] = []

    async def play(at: int, delay: float, way: str, number: int) -> None:
        await asyncio.sleep(delay)
        files, partials = wanted[at]
        seen: dict[tuple[int, int], bytes] = {}
        if way == "whole":
            got = await asks[at].whole(client)
        elif way == "stream":
            got, seen = await asks[at].streamed(client, number)
        else:
            await asks[at].streamed(client, 3, hang_up_after=number)
            return
        wrong.extend([f"{asks[at].fields}: file {i}" for i, file in enumerate(files) if got[i] != file])
        wrong.extend([f"{asks[at].fields}: partial {key}" for key in seen if partials.get(key, seen[key]) != seen[key]])

    async with room, live.http() as client:
        plays = [
            play(
                rng.randrange(len(asks)),
                rng.random() * 0.1,
                rng.choice(["whole", "whole", "stream", "hang up"]),
                rng.randrange(4),
            )
            for _ in range(rng.randint(1, 3))
        ]
        await asyncio.gather(*plays)
    return wrong


def assert_batched(log: Seq[StepRecord], spec: DecoderSpec) -> None:
    """Or else the comparison says nothing: most steps held several samples, and cheap steps sat beside full ones."""
    steps = [record for record in log if record.kind is Kind.STEP]
    several = [record for record in steps if record.samples > 1]
    mixed = [record for record in several if 0 < record.full < record.samples]
    assert len(several) > 0.5 * len(steps), f"{len(several)} of {len(steps)} steps held several samples"
    assert not spec.max_reuse or len(mixed) > 0.1 * len(steps), (
        f"{len(mixed)} of {len(steps)} steps held full and reuse rows"
    )


# -- logits in the engine

Key = tuple[int, int, int]  # seed, sample, step


@dataclass
class Lone:
    """What every (request, sample, step) saw while nothing else ran."""

    logits: dict[Key, Tensor] = field(default_factory=dict)
    pixels: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def probe(self, seqs: Seq[Sequence], rows: object, logits: Tensor) -> None:
        [seq] = seqs
        self.logits[seq.request.seed, seq.sample, seq.step] = logits.clone()

    def record(self, decoder: IterativeDecoder, request: GenerationRequest) -> None:
        decoder.probe = self.probe  # type: ignore[attr-defined]
        for seq in decoder.admit(request):
            while work := decoder.next_work(seq):
                if work.kind is Kind.FINISH:
                    [made] = decoder.finish([seq])
                    self.pixels[request.seed, seq.sample] = made.array
                else:
                    decoder.run(work, [seq])
            decoder.release(seq)


@dataclass
class Compared:
    """Compares every step with the lone one. Runs inside the engine: it notes and never raises."""

    lone: Lone
    seen: set[Key] = field(default_factory=set)
    wrong: set[Key] = field(default_factory=set)

    def probe(self, seqs: Seq[Sequence], rows: object, logits: Tensor) -> None:
        for at, seq in enumerate(seqs):
            key = (seq.request.seed, seq.sample, seq.step)
            own = logits[rows.sequence == at]  # type: ignore[attr-defined]
            self.seen.add(key)
            if not torch.equal(own, self.lone.logits[key]):
                self.wrong.add(key)


class Client:
    """Submits to an engine and reads to the end, or to the Saved event number `leave_after`, where it cancels."""

    def __init__(self) -> None:
        self.ready = threading.Semaphore(0)
        self.mailbox = Mailbox(self.ready.release)
        self.states: dict[int, bytes] = {}
        self.pixels: dict[int, np.ndarray] = {}
        self.last: Event | None = None

    def play(self, engine: Engine, ticket: Ticket, leave_after: int | None = None) -> None:
        engine.submit(ticket, self.mailbox)
        saved = 0
        while not isinstance(self.last, Terminal):
            assert self.ready.acquire(timeout=120)
            for event in self.mailbox.take():
                self.last = event
                if isinstance(event, SampleDone):
                    self.pixels[event.report.sample] = event.artifact.array
                if isinstance(event, Saved):
                    self.states[event.sample] = event.state
                    saved += 1
                    if saved == leave_after:
                        engine.cancel(ticket.id)


def random_sound(rng: Random, spec: DecoderSpec, seed: int) -> GenerationRequest:
    assert spec.sound is not None
    steps = tuple(rng.randint(1, 6) for _ in range(spec.grid[0]))
    sampling = Sampling(
        num_inference_steps=sum(steps),
        codebook_steps=steps,
        guidance_scale=rng.choice([1.0, 3.0]),
        temperature=rng.choice([0.0, 1.0, 3.0]),
        top_p=rng.choice([1.0, 0.9]),
        top_k=rng.choice([0, 0, 7]),
        span_arrangement=rng.choice(["nonoverlap", "stride1"]),
        span_scoring=rng.choice(["max", "prod"]),
        guidance_share=rng.choice([1.0, 1.0, 0.5]),
        reuse=rng.choice([0, 0, 1, 3]),
        full_first=rng.choice([0, 1]),
        rescoring=rng.choice([0.0, 0.0, 0.4]) if "rescoring" in spec.parameters else 0.0,
    )
    request = GenerationRequest(
        "generate", tuple(sorted(rng.sample(range(len(spec.vocabulary)), 2))), sampling, seed, rng.choice([1, 1, 1, 3]),
        frames=rng.choice([0, 21, 30]), loop=rng.random() < 0.3, partials=rng.choice([0, 0, 2]),
    )  # fmt: skip
    if rng.random() < 0.6:
        start = rng.choice([0.0, 0.0, 0.2]) if "head_start" in spec.parameters else 0.0
        return replace(request, sampling=replace(sampling, head_start=start))
    wave = np.random.default_rng(seed).uniform(-0.3, 0.3, (30 * spec.sound.hop, 1)).astype(np.float32)
    mask = np.zeros(len(wave), bool)
    mask[len(wave) // 3 : len(wave) // 2] = True
    return replace(request, task="edit", waveform=wave, mask=mask, frames=rng.choice([0, 40]))


def random_clip(rng: Random, spec: DecoderSpec, seed: int) -> GenerationRequest:
    footage = spec.footage
    assert footage is not None
    task = rng.choice(footage.tasks)
    frames = footage.block if task == "interpolation" else rng.randint(3, 5)
    sampling = Sampling(
        num_inference_steps=rng.randint(9, 20),  # states are not saved at every step
        sampler=rng.choice(["ddpm", "ddim", "ddim-clipped"]),
        spacing=rng.choice(["even", "official"]),
        final_denoise=rng.choice(["off", "official"]),
    )
    width, height = spec.size
    given = np.random.default_rng(seed).integers(0, 256, (3, 5, height, width, footage.channels), np.uint8)
    request = GenerationRequest(
        "generate", None, sampling, seed, rng.choice([1, 1, 2]), frames=frames, clip_task=task,
        past=given[0], future=given[1], partials=rng.choice([0, 2]),
    )  # fmt: skip
    if rng.random() < 0.6:
        return request
    mask = np.zeros((frames, height, width), bool)
    mask[:, rng.randrange(height // 2) :] = True
    return replace(request, task="edit", image=given[2, :frames], mask=mask)


def random_request(rng: Random, spec: DecoderSpec, seed: int) -> GenerationRequest:
    if spec.modality == "audio":
        return random_sound(rng, spec, seed)
    if spec.modality == "video":
        return random_clip(rng, spec, seed)
    task: Task = rng.choices(["generate", "edit", "variation"], [6, 3, 2])[0]  # type: ignore[assignment]
    width, height = spec.size
    image = mask = None
    if task != "generate":
        channels = 1 if spec.details["channels"] == 1 else 3
        image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    if task == "edit":
        mask = np.zeros((height, width), bool)
        mask[rng.randrange(height // 2) :, rng.randrange(width // 2) :] = True
    sampling = Sampling(
        num_inference_steps=min(int(rng.triangular(4, 33, 4)), spec.max_steps),
        guidance_scale=rng.choice([1.0, 1.0, 3.0]),
        guidance_schedule=rng.choice(["constant", "linear"]),
        choice_temperature=rng.choice([0.0, 4.5]),
        top_p=rng.choice([1.0, 1.0, 0.9]),
        draw=rng.choice(["joint", "separate"]),
        reuse=rng.choice([0, 1, 2]),
        full_first=rng.choice([0, 2]),
        diffusion_steps=rng.choice([4, 7]) if spec.max_diffusion_steps else 0,
    )
    label = rng.randrange(len(spec.classes))
    n, partials = rng.choice([1, 1, 1, 3]), rng.choice([0, 0, 2])
    return GenerationRequest(task, label, sampling, seed, n, image=image, mask=mask, partials=partials)


@pytest.mark.parametrize("threads", REQUESTS)
def test_logits_are_bitwise_those_of_a_lone_sequence(checkpoint: Path, threads: int) -> None:
    catalogue = Catalogue.scan([checkpoint])
    [entry] = catalogue.entries.values()
    rng = Random(threads)
    requests = [random_request(rng, entry.spec, seed) for seed in range(REQUESTS[threads])]
    lone = Lone()
    with one_thread_count(threads):
        decoder = entry.family.load(entry.spec, entry.path, "cpu", "float32")
        for request in requests:
            lone.record(decoder, request)
        compared, log, left = _play_all(catalogue, entry, requests, lone, threads, rng)
    assert not compared.wrong, f"{len(compared.wrong)} of {len(compared.seen)} steps differ: {min(compared.wrong)}"
    assert compared.seen == lone.logits.keys()
    assert left > len(requests) // 8, f"only {left} requests moved to the other engine"
    assert_batched(log, entry.spec)


def _play_all(
    catalogue: Catalogue, entry: Entry, requests: Seq[GenerationRequest], lone: Lone, threads: int, rng: Random
) -> tuple[Compared, list[StepRecord], int]:
    """Ten at a time; every fourth leaves its engine at a group boundary and goes on in the other one."""
    compared, moved = Compared(lone), 0
    engines = [Engine(catalogue, POLICY, "cpu", threads=threads).start() for _ in range(2)]
    for engine in engines:
        Client().play(engine, Ticket("warm", entry.spec.id, requests[0]))
        engine.decoders[entry.spec.id].probe = compared.probe  # type: ignore[attr-defined]
        engine.scheduler.log.clear()

    def play(at: int, delay: float) -> bool:
        time.sleep(delay)
        here, there = engines if at % 8 else reversed(engines)
        ticket = Ticket(str(at), entry.spec.id, requests[at], save=True)
        client, moves = Client(), False
        client.play(here, ticket, leave_after=3 if at % 4 == 0 else None)
        if isinstance(client.last, Failed):
            assert client.last.code == "cancelled", client.last
            states = tuple(client.states[sample] for sample in range(requests[at].n))
            client, moves = Client(), True
            client.play(there, replace(ticket, states=states))
        assert not isinstance(client.last, Failed), client.last
        for sample, pixels in client.pixels.items():
            assert np.array_equal(pixels, lone.pixels[requests[at].seed, sample]), f"request {at}, sample {sample}"
        assert len(client.pixels) == requests[at].n
        return moves

    try:
        with ThreadPoolExecutor(10) as pool:
            delays = [rng.random() * 0.02 for _ in requests]
            moved = sum(pool.map(play, range(len(requests)), delays))
    finally:
        for engine in engines:
            engine.stop()
    return compared, list(engines[0].scheduler.log), moved
