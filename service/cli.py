"""The `maskserve` command. What a command needs is imported inside it, so that --help is quick."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from service.commands import check, exporting, generate, importing, push

if TYPE_CHECKING:
    from models.catalogue import Catalogue
    from models.spec import DecoderSpec
    from service.dispatch.base import Dispatcher
    from service.engine.engine import Engine
    from service.settings import Settings

app = typer.Typer(
    help="Serve generators that decode by iterative unmasking.\n\n"
    "Start with `maskserve serve`: it prints its address and a curl line that writes a picture. "
    "Every option is also a variable: MASKSERVE_PORT=9000 is --port 9000.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command(help=generate.HELP)(generate.generate)
app.command("import", help=importing.HELP)(importing.import_weights)
app.command("export", help=exporting.HELP)(exporting.export_weights)
app.command(help=push.HELP)(push.push)
app.command(help=check.HELP)(check.check)

ModelDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--models",
        help="A directory of checkpoints, one checkpoint, or org/name[@revision] on the hub; repeatable. "
        "Default: checkpoints/ here, else those of the installation.",
    ),
]


@app.command()
def serve(
    names: Annotated[
        list[Path] | None, typer.Argument(metavar="MODELS", help="What to serve; the same as --models.")
    ] = None,
    models: ModelDirs = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the engine.")] = None,
    max_waiting: Annotated[int | None, typer.Option(help="Requests that may wait before others get 503.")] = None,
    resample: Annotated[
        bool | None,
        typer.Option(help="Accept any size, for chat UIs that always ask for 1024x1024."),
    ] = None,
    default_model: Annotated[
        list[str] | None,
        typer.Option(help="Which answers where a request names none; again for another kind of model."),
    ] = None,
    preload: Annotated[bool | None, typer.Option(help="Load every model at start, not when first asked for.")] = None,
    tag_files: Annotated[bool | None, typer.Option(help="Write into PNG files how they were made.")] = None,
    redis_url: Annotated[
        str | None, typer.Option("--redis", help="Requests go to `maskserve worker` processes over this Redis.")
    ] = None,
    artefacts: Annotated[
        str | None,
        typer.Option(help="Where results lie: a folder or s3://bucket. Default: memory; with --redis, there."),
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="json, console or auto.")] = None,
) -> None:
    """Run the HTTP server.

    It speaks the OpenAI images API at http://HOST:PORT/v1. A checkpoint loads when it is first asked
    for. Ctrl-C or SIGTERM lets running requests finish; a second one does not.
    """
    from service.http.server import CannotListen, bind

    chosen = {"models": [*(names or []), *(models or [])] or None, "default_model": default_model or None}
    settings = _settings({**locals(), **chosen})
    try:
        listener = bind(settings.host, settings.port)
    except CannotListen as error:
        _fail(f"{error}: try --port {settings.port + 1}")

    from service.app import create_app
    from service.http.server import make_server, url_of
    from service.observe.logs import configure_process

    catalogue = _catalogue(settings)
    if not catalogue.entries:
        _fail(f"no checkpoint to serve in {_joined(settings.models)}")
    configure_process(settings.log_format, settings.log_level)
    url = url_of(listener)
    try:
        app = create_app(settings, _dispatcher(settings, catalogue))
    except (ValueError, OSError) as error:
        _fail(str(error))
    server = make_server(
        app,
        on_start=lambda: typer.echo(_greeting(url, catalogue, bool(settings.api_keys))),
    )
    server.run(sockets=[listener])


@app.command()
def worker(
    names: Annotated[
        list[Path] | None, typer.Argument(metavar="MODELS", help="What to run; the same as --models.")
    ] = None,
    models: ModelDirs = None,
    redis_url: Annotated[str | None, typer.Option("--redis", help="As of `maskserve serve --redis`.")] = None,
    artefacts: Annotated[str | None, typer.Option(help="As of `maskserve serve --artefacts`.")] = None,
    slots: Annotated[int | None, typer.Option(help="Requests at a time; more stay in the queue for others.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the engine.")] = None,
    preload: Annotated[bool | None, typer.Option(help="Load every model at start, not when first asked for.")] = None,
    probe_port: Annotated[
        int | None, typer.Option(help="Serve GET /health and /metrics there, on --host; 0 takes a free port.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address of the probe port.")] = None,
    log_format: Annotated[str | None, typer.Option(help="json, console or auto.")] = None,
) -> None:
    """Run requests that `maskserve serve --redis URL` puts into the queue.

    Start one per device, on as many machines as you like. A worker that dies loses nothing: another goes on from the
    last saved step, with the same bytes. Ctrl-C or SIGTERM lets running requests finish, or hands them back.
    """
    import asyncio

    from service.http.server import CannotListen, bind, url_of
    from service.observe.logs import configure_process
    from service.working import work

    settings = _settings({**locals(), "models": [*(names or []), *(models or [])] or None})
    if settings.redis_url is None:
        _fail("which queue? Give --redis redis://HOST:6379, or MASKSERVE_REDIS_URL")
    catalogue = _catalogue(settings)
    if not catalogue.entries:
        _fail(f"no checkpoint to run in {_joined(settings.models)}")
    configure_process(settings.log_format, settings.log_level)
    listener = None
    if settings.probe_port is not None:
        try:
            listener = bind(settings.host, settings.probe_port)
        except CannotListen as error:
            _fail(str(error))
        typer.echo(f"probe: {url_of(listener)}/health")
    try:
        asyncio.run(work(settings, _engine(settings, catalogue), listener))
    except ValueError as error:
        _fail(str(error))


@app.command("models")
def list_models(models: ModelDirs = None) -> None:
    """List the checkpoints that `serve` would offer."""
    settings = _settings(locals())
    catalogue = _catalogue(settings)
    for spec in (entry.spec for entry in catalogue.entries.values()):
        use = "non-commercial" if spec.noncommercial else "commercial use allowed"
        typer.echo(
            f"{spec.id}: {spec.family} {spec.modality} {_size(spec)}, {_prompts(spec)}, "
            f"{spec.min_steps}-{spec.max_steps} steps, {spec.licence} ({use})"
        )
    if not catalogue.entries:
        _fail(f"no checkpoint in {_joined(settings.models)}")


def _size(spec: "DecoderSpec") -> str:
    if (footage := spec.footage) is not None:
        return "{}x{}".format(*spec.size) + f" in blocks of {footage.block} frames"
    if (sound := spec.sound) is not None:
        return f"of up to {sound.most_seconds:g} s at {sound.rate} Hz"
    return "{}x{}".format(*spec.size)


def _prompts(spec: "DecoderSpec") -> str:
    if spec.footage is not None:
        return ", ".join(spec.footage.tasks)
    if spec.vocabulary:
        return f"{len(spec.words)} words"
    return f"{len(spec.classes)} classes" if spec.classes else "any text"


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    from service.app import create_openapi

    typer.echo(json.dumps(create_openapi(), indent=2, sort_keys=True))


def _settings(options: dict[str, Any]) -> "Settings":
    """Options that were given win over variables, these over defaults."""
    from pydantic import ValidationError

    from service.settings import Settings

    given = {name: value for name, value in options.items() if name in Settings.model_fields and value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        _fail(f"{where}: {first['msg']}" if where else first["msg"])


def _catalogue(settings: "Settings") -> "Catalogue":
    """What can be served; one line for each checkpoint that cannot."""
    from models.catalogue import Catalogue
    from models.hub import HubError, local

    try:
        directories = [local(path) for path in settings.models]
    except HubError as error:
        _fail(str(error))
    for directory in directories:
        if not directory.is_dir():
            _fail(f"no such directory: {directory}")
    catalogue = Catalogue.scan(directories)
    for reason in catalogue.broken.values():
        typer.echo(f"not served: {reason}", err=True)
    if "default_model" in settings.model_fields_set:
        for id in settings.default_model:
            if id not in catalogue.entries:
                _fail(f"default_model: no checkpoint is called {id!r}; there are {', '.join(catalogue.entries)}")
    return catalogue.preferring(settings.default_model)


def _dispatcher(settings: "Settings", catalogue: "Catalogue") -> "Dispatcher":
    """An engine in this process, or with --redis those of the workers."""
    if settings.redis_url is not None:
        from service.working import connected

        try:
            return connected(settings, catalogue)
        except ValueError as error:
            _fail(str(error))
    from service.artefacts.open import open_store
    from service.dispatch.local import LocalDispatcher

    try:
        store = open_store(settings.artefacts or f"memory:?bytes={max(1, settings.results_bytes // 2)}")
    except (ValueError, OSError) as error:
        _fail(str(error))
    return LocalDispatcher(_engine(settings, catalogue), store, settings.results_seconds, settings.results_bytes // 2)


def _engine(settings: "Settings", catalogue: "Catalogue") -> "Engine":
    """Imports torch."""
    from dataclasses import replace

    from service.engine.engine import Engine
    from service.engine.fingerprint import pick_device
    from service.engine.policy import Policy

    policy = replace(Policy.for_device(pick_device(settings.device)), max_waiting=settings.max_waiting)
    if settings.tick_budget_seconds is not None:
        policy = replace(policy, tick_seconds=settings.tick_budget_seconds)
    if settings.memory_budget_bytes is not None:
        policy = replace(policy, memory_budget=settings.memory_budget_bytes)
    engine = Engine(catalogue, policy, settings.device, settings.dtype, settings.threads).start()
    if settings.preload:
        for id in catalogue.entries:
            engine.load(id)
    return engine


def _greeting(url: str, catalogue: "Catalogue", keys: bool) -> str:
    """The address, and a curl line that writes a picture or a sound."""
    spec = next(iter(catalogue.entries.values())).spec
    body = json.dumps({"model": spec.id, "prompt": next(iter(spec.classes or spec.words), "0")})
    key = " -H 'authorization: Bearer YOUR_KEY'" if keys else ""
    if spec.modality == "video":
        return (
            f"maskserve listens on {url} and serves {', '.join(catalogue.entries)}\n"
            f"try: curl -s {url}/v1/videos{key} -F model={spec.id} -F input_reference=@clip.mp4"
        )
    quoted = body.replace("'", "'\\''")
    if spec.modality == "audio":
        body = json.dumps({"model": spec.id, "prompt": " ".join(spec.words[:2]) or "music", "response_format": "file"})
        return (
            f"maskserve listens on {url} and serves {', '.join(catalogue.entries)}\n"
            f"try: curl -s {url}/v1/audio/generations -H 'content-type: application/json'{key} -d '{body}' -o out.wav"
        )
    save = (
        "import base64, json, sys; "
        'open("out.png", "wb").write(base64.b64decode(json.load(sys.stdin)["data"][0]["b64_json"]))'
    )
    return (
        f"maskserve listens on {url} and serves {', '.join(catalogue.entries)}\n"
        f"try: curl -s {url}/v1/images/generations -H 'content-type: application/json'{key} "
        f"-d '{quoted}' | python3 -c '{save}'"
    )


def _joined(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    sys.exit(1)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
