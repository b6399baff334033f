"""Plain values as bytes: msgpack, arrays as their own bytes. Nothing is executed."""

from typing import Any, cast

import msgpack
import numpy as np

ARRAY = 1  # msgpack's extension type of arrays


def pack(value: object) -> bytes:
    """Numbers, words, lists, dicts and numpy arrays."""
    return cast(bytes, msgpack.packb(value, default=_array))


def unpack(content: bytes) -> Any:
    """What `pack` made. Raises ValueError for anything else."""
    try:
        return msgpack.unpackb(content, ext_hook=_unarray, strict_map_key=False)
    except (msgpack.UnpackException, ValueError, TypeError) as error:
        raise ValueError(f"not packed here: {error}") from None


def _array(value: object) -> object:
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(ARRAY, msgpack.packb((value.dtype.str, value.shape, value.tobytes())))
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not travel")


def _unarray(code: int, content: bytes) -> object:
    if code != ARRAY:
        raise ValueError(f"extension {code}")
    kind, shape, data = msgpack.unpackb(content)
    dtype = np.dtype(kind)
    if dtype.hasobject:
        raise ValueError("an array of objects")
    return np.frombuffer(data, dtype).reshape(shape).copy()
