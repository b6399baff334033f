"""A server process to measure: the engine with step batching, the engine one request at a time, or a bare loop."""

import argparse
import asyncio
import base64
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI

from bench.bare import BareLoop
from bench.models import load
from models.catalogue import Catalogue
from service.app import create_app
from service.dispatch.local import LocalDispatcher
from service.engine.engine import Engine
from service.engine.policy import Policy
from service.http.server import bind, make_server, url_of
from service.media.encode import encode
from service.settings import Settings

MODES = ("batched", "single", "bare")


def engine_server(options: argparse.Namespace) -> uvicorn.Server:
    settings = Settings(models=[options.models], device=options.device, threads=options.threads, port=0)
    catalogue = Catalogue.scan(settings.models)
    policy = Policy.for_device(options.device)
    if options.mode == "single":
        policy = replace(policy, max_sequences=1)
    engine = Engine(catalogue, policy, options.device, options.dtype, options.threads).start()
    return make_server(create_app(settings, LocalDispatcher(engine)))


def bare_server(options: argparse.Namespace) -> uvicorn.Server:
    """One request after the other through `BareLoop`, behind the same HTTP stack and image encoder."""
    decoder = load(options.models, options.device, options.dtype)
    loop, lock = BareLoop(decoder), threading.Lock()
    app = FastAPI()

    def make(label: int, steps: int) -> str:
        with lock:
            [image] = loop.generate(torch.tensor([label], device=decoder.device), steps)
        pixels = (image * 255.0).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        return base64.b64encode(encode(pixels)).decode()

    @app.post("/v1/images/generations")
    async def create(body: dict[str, Any]) -> dict[str, Any]:
        made = await asyncio.to_thread(make, int(body["prompt"]), body["num_inference_steps"])
        return {"created": 0, "data": [{"b64_json": made}]}

    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    listener = bind("127.0.0.1", 0)
    server = bare_server(options) if options.mode == "bare" else engine_server(options)
    print(url_of(listener), flush=True)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # nobody reads the request log
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
