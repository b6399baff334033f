"""The part of the Compose specification that docker/ uses; what is not listed here is refused."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]+$")]
Duration = Annotated[str, Field(pattern=r"^(\d+(ms|s|m|h))+$")]
Scalar = str | int | float | bool | None


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Build(Strict):
    context: str = "."
    dockerfile: str = "Dockerfile"
    args: dict[str, Scalar] = {}


class Condition(Strict):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Healthcheck(Strict):
    test: list[str]
    interval: Duration
    timeout: Duration
    start_period: Duration
    retries: int


class Logging(Strict):
    driver: str
    options: dict[str, str | int]


class Device(Strict):
    driver: str
    count: int
    capabilities: list[str]


class Reservations(Strict):
    devices: list[Device]


class Resources(Strict):
    reservations: Reservations


class Deploy(Strict):
    replicas: int = Field(strict=False)  # interpolation leaves text
    resources: Resources | None = None


class Service(Strict):
    image: str | None = None
    build: Build | None = None
    user: str | None = None
    command: list[str] | None = None
    environment: dict[str, Scalar] = {}
    ports: list[str] = []
    volumes: list[str] = []
    networks: list[Name] = []
    depends_on: dict[Name, Condition] = {}
    healthcheck: Healthcheck | None = None
    deploy: Deploy | None = None
    stop_grace_period: Duration | None = None
    init: bool | None = None
    restart: Literal["no", "always", "on-failure", "unless-stopped"] | None = None
    read_only: bool | None = None
    tmpfs: list[str] = []
    cap_drop: list[str] = []
    security_opt: list[str] = []
    logging: Logging | None = None


class Network(Strict):
    internal: bool = False


class Compose(Strict):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")] | None = None
    services: dict[Name, Service]
    networks: dict[Name, Network | None] = {}
    volumes: dict[Name, None] = {}


def read(content: dict[str, object]) -> Compose:
    """Raises ValidationError."""
    return Compose.model_validate({key: value for key, value in content.items() if not key.startswith("x-")})
