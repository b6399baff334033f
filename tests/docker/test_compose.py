"""docker/compose.yaml: its form, and what a deployment relies on."""

import re

import pytest
from pydantic import ValidationError

from service.settings import PREFIX, Settings
from tests.docker.compose_schema import Compose, Service, read
from tests.docker.files import DOCKER, VARIABLE, compose

STACK = read(compose())
OURS = ("api", "worker")


def seconds(duration: str | None) -> int:
    assert duration and duration.endswith("s")
    return int(duration[:-1])


def configured(service: Service, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in service.environment.items():
        monkeypatch.setenv(name, str(value))
    return Settings()


def flag(service: Service, name: str) -> str:
    assert service.command
    return service.command[service.command.index(name) + 1]


def test_a_misspelt_key_would_be_seen() -> None:
    content = compose()
    content["services"]["api"]["restarts"] = "always"
    with pytest.raises(ValidationError, match="restarts"):
        read(content)


def test_services() -> None:
    assert set(STACK.services) == {"api", "worker", "redis"}
    deploy = STACK.services["worker"].deploy
    assert deploy and deploy.replicas == 2


@pytest.mark.parametrize("name", STACK.services)
def test_each_service_is_confined_restarted_checked_and_its_log_is_bounded(name: str) -> None:
    service = STACK.services[name]
    assert service.read_only and service.cap_drop == ["ALL"] and service.tmpfs
    assert service.security_opt == ["no-new-privileges:true"]
    assert service.restart == "unless-stopped" and service.init
    assert service.healthcheck and service.healthcheck.test[0] == "CMD"
    assert service.logging and {"max-size", "max-file"} <= set(service.logging.options)
    assert service.image and re.search(r":[\w.-]+$", service.image) and not service.image.endswith(":latest")


@pytest.mark.parametrize("name", OURS)
def test_ours_wait_for_the_queue_and_have_time_to_drain(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = STACK.services[name]
    settings = configured(service, monkeypatch)
    assert service.depends_on["redis"].condition == "service_healthy"
    assert seconds(service.stop_grace_period) >= settings.drain_seconds + 10
    assert settings.redis_url == "redis://redis:6379/0"
    assert [volume.split(":")[1:] for volume in service.volumes] == [["/models", "ro"]]


def test_api_and_workers_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    api, worker = (STACK.services[name] for name in OURS)
    assert (api.image, api.build, api.volumes) == (worker.image, worker.build, worker.volumes)
    assert (api.command, worker.command) == (["serve"], ["worker"])


def test_worker_has_a_probe_and_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = STACK.services["worker"]
    assert configured(worker, monkeypatch).probe_port == 8001
    assert f"{PREFIX}API_KEYS" not in worker.environment


def test_only_the_api_is_published_and_only_here_by_default() -> None:
    assert {name: service.ports for name, service in STACK.services.items() if service.ports} == {
        "api": ["127.0.0.1:8000:8000"]
    }
    assert STACK.services["worker"].networks == STACK.services["redis"].networks == ["queue"]
    queue = STACK.networks["queue"]
    assert queue and queue.internal


def test_queue_keeps_what_it_has() -> None:
    redis = STACK.services["redis"]
    assert flag(redis, "--appendonly") == "yes" and flag(redis, "--appendfsync") == "everysec"
    assert flag(redis, "--maxmemory-policy") == "noeviction"
    assert redis.volumes == ["queue:/data"] and "queue" in STACK.volumes


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    api = read(compose(MASKSERVE_API_KEYS="one,two")).services["api"]
    assert [key.get_secret_value() for key in configured(api, monkeypatch).api_keys] == ["one", "two"]
    assert configured(STACK.services["api"], monkeypatch).api_keys == []


def test_cuda_changes_the_workers_alone() -> None:
    cuda: Compose = read(compose("compose.cuda.yaml"))
    assert set(cuda.services) == {"worker"}
    worker = cuda.services["worker"]
    assert worker.environment == {f"{PREFIX}DEVICE": "cuda"}
    assert worker.build and not worker.build.args["TORCH_INDEX"]
    assert worker.deploy and worker.deploy.resources
    [device] = worker.deploy.resources.reservations.devices
    assert (device.driver, device.capabilities) == ("nvidia", ["gpu"])


def test_example_names_every_variable_with_its_default() -> None:
    used = {
        name: default
        for path in sorted(DOCKER.glob("compose*.yaml"))
        for name, default in VARIABLE.findall(path.read_text())
    }
    example = dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", (DOCKER / ".env.example").read_text(), re.M))
    assert used.keys() == example.keys() - {"COMPOSE_FILE"}
    for name, default in used.items():
        if default:
            assert example[name] == default
        elif name.startswith(PREFIX) and example[name]:
            assert example[name] == str(Settings.model_fields[name.removeprefix(PREFIX).lower()].default).lower()
