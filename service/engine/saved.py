"""A sample's saved state with what decides whether another engine may go on from it."""

from dataclasses import asdict, dataclass
from typing import cast

import msgpack


@dataclass(frozen=True)
class Saved:
    """`state` is the decoder's; numerics (`fingerprint`) and weights (`checkpoint`) are those it was made with."""

    fingerprint: str
    checkpoint: str
    step: int
    shortened: bool
    state: bytes

    def pack(self) -> bytes:
        return cast(bytes, msgpack.packb(asdict(self)))

    @classmethod
    def unpack(cls, content: bytes) -> "Saved":
        """Raises ValueError for what `pack` did not make."""
        try:
            return cls(**msgpack.unpackb(content))
        except (msgpack.UnpackException, ValueError, TypeError) as error:
            raise ValueError(f"not a saved state: {error}") from None

    def fits(self, fingerprint: str, checkpoint: str) -> bool:
        """Going on from it gives the bytes that an undisturbed run would have given."""
        return (self.fingerprint, self.checkpoint) == (fingerprint, checkpoint)
