"""Log lines: JSON for machines, plain for people, `auto` by whether a terminal is there. Prompts stay out."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor


def make_logger(format: str = "auto", level: str = "info", out: TextIO | None = None) -> FilteringBoundLogger:
    """A logger of its own: nothing global is configured, so two apps in a process do not meet."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(out or sys.stderr),
        processors=_processors(format, out or sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
    )
    return logger


def configure_process(format: str = "auto", level: str = "info") -> None:
    """The same for every `structlog.get_logger()` of this process; for console scripts."""
    structlog.configure(
        processors=_processors(format, sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _processors(format: str, out: TextIO) -> list[Processor]:
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    rendering: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if format == "json" or (format == "auto" and not out.isatty())
        else [
            structlog.dev.ConsoleRenderer(
                colors=False, timestamp_key="ts", exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    return [*shared, *rendering]
