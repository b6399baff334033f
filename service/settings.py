"""Everything an operator can set, read once from arguments and MASKSERVE_* variables."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.webhooks.hosts import Rule
from service.webhooks.networks import parsed
from service.webhooks.signing import Secret

PREFIX = "MASKSERVE_"


def default_models() -> list[Path]:
    """`checkpoints/` here, else the one that lies beside the installed package."""
    here = Path("checkpoints")
    return [here if here.is_dir() else Path(__file__).resolve().parent.parent / "checkpoints"]


Paths = Annotated[list[Path], NoDecode]
Words = Annotated[list[str], NoDecode]


class Settings(BaseSettings):
    """One object for the whole server. Lists in variables are comma separated; unknown names are refused."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)

    models: Paths = Field(default_factory=default_models)
    default_model: Words = ["maskgit-fashion"]
    """Served where a request names no model: of these ids the first that makes what is asked for, else by name."""
    preload: bool = False
    allow_noncommercial: bool = True
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    threads: int | None = Field(None, ge=1)

    redis_url: str | None = None
    slots: int = Field(16, ge=1)
    artefacts: str | None = None

    max_waiting: int = Field(64, ge=1)
    memory_budget_bytes: int | None = Field(None, ge=1)
    tick_budget_seconds: float | None = Field(None, gt=0)
    drain_seconds: float = Field(30.0, ge=0)

    api_keys: Annotated[list[SecretStr], NoDecode] = []
    cors_origins: Words = []
    resample: bool = False
    tag_files: bool = True
    playground: bool = True

    max_n: int = Field(10, ge=1, le=10)
    max_image_bytes: int = Field(20 << 20, ge=1)
    max_pixels: int = Field(4096 * 4096, ge=1)
    max_json_bytes: int = Field(1 << 20, ge=1)
    max_parts: int = Field(48, ge=1)
    media_threads: int = Field(2, ge=1)
    results_seconds: float = Field(900.0, ge=0)
    results_bytes: int = Field(256 << 20, ge=0)
    public_url: str | None = None
    webhook_secret: SecretStr | None = None
    webhook_hosts: Words = []
    webhook_networks: Words = []
    webhook_ca: Path | None = None
    probe_port: int | None = Field(None, ge=0, le=65535)
    keepalive_seconds: float = Field(10.0, gt=0, le=15)

    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_prompts: bool = False

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        lists = ("models", "default_model", "api_keys", "cors_origins", "webhook_hosts", "webhook_networks")
        return {
            name: [part for part in value.split(",") if part] if name in lists and isinstance(value, str) else value
            for name, value in values.items()
        }

    @field_validator("webhook_hosts", "webhook_networks", "webhook_secret")
    @classmethod
    def _usable(cls, value: Any, field: ValidationInfo) -> Any:
        match field.field_name:
            case "webhook_hosts":
                [Rule.parse(entry) for entry in value]
            case "webhook_networks":
                parsed(value)
            case "webhook_secret" if value is not None:
                Secret.parse(value.get_secret_value())
        return value

    @field_validator("public_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise ValueError("an address such as https://pictures.example")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.webhook_hosts and self.webhook_secret is None:
            raise ValueError("webhook_hosts needs a webhook_secret")
        return self

    @model_validator(mode="after")
    def _no_strangers(self) -> Self:
        known = {PREFIX + name.upper() for name in type(self).model_fields}
        strangers = sorted(n for n in map(str.upper, os.environ) if n.startswith(PREFIX) and n not in known)
        if strangers:
            raise ValueError(f"unknown setting {strangers[0]}")
        return self

    @property
    def max_body_bytes(self) -> int:
        """A multipart body: a picture, a mask and the words beside them."""
        return 2 * self.max_image_bytes + self.max_json_bytes
