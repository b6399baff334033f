"""How an artefact looks as a file: a header with its end, then the content. Shared by folders and object stores.

`~` is in no key, so it stands for the slash, and names that begin with it are the store's own. The header
tells artefacts from foreign files: nothing without it is ever removed.
"""

import struct
from errno import EDQUOT, ENOSPC
from secrets import token_hex

MAGIC = b"mskart1\n"
HEADER = struct.Struct(">8sd")
SUFFIX = ".artefact"
OWN = "~"
PART = ".part"


def file_name(key: str) -> str:
    """One flat name per key, so that no empty folders remain and no key is the folder of another."""
    return key.replace("/", OWN) + SUFFIX


def part_name() -> str:
    """A name nobody else uses, for content on its way."""
    return f"{OWN}{token_hex(16)}{PART}"


def is_artefact(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(OWN)


def is_part(name: str) -> bool:
    return name.endswith(PART) and name.startswith(OWN)


def header(until: float) -> bytes:
    """until: seconds since the epoch, by the clock that all hosts share."""
    return HEADER.pack(MAGIC, until)


def expiry(data: bytes) -> float | None:
    """The end that the first bytes of a file name; None where the file is no artefact."""
    if len(data) < HEADER.size:
        return None
    magic, until = HEADER.unpack_from(data)
    return float(until) if magic == MAGIC else None


def content(data: bytes, now: float) -> bytes | None:
    """What follows the header; None where it is over or the file is no artefact."""
    until = expiry(data)
    return data[HEADER.size :] if until is not None and until > now else None


def is_full(error: BaseException) -> bool:
    """Whether a disk or a quota has no room left."""
    return isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT)
