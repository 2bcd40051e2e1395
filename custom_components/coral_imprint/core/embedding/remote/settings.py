"""What a caller settles: how servers may be reached, and what it knows of the model itself."""

from dataclasses import dataclass
from ssl import SSLContext
from typing import Final, Literal

METADATA_LIMIT: Final = 1 << 20
"""Bytes that an answer other than an embedding may have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How servers may be reached."""

    token: str | None = None
    """Sent to every server as a bearer token."""
    ssl: SSLContext | bool = True
    """True: certificates are verified as the session does; a context: as it says; False: not at all."""
    timeout: float = 5.0
    """Seconds that an answer may take, from the connection to the last byte. Each server is asked once at most."""
    connect_timeout: float = 3.0
    """Seconds of these that the connection may take."""

    def __repr__(self) -> str:
        """Keep the token out of logs."""
        return f"Access(token={'…' if self.token else None}, ssl={self.ssl!r}, timeout={self.timeout})"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions:
    """What is known of a model besides what its server says; None: as the server says, or as trial shows."""

    version: str | None = None
    """Which version to ask for; None: the server's choice."""
    input: str | None = None
    """Name of the tensor that takes pictures."""
    output: str | None = None
    """Name of the tensor that has the embeddings."""
    size: tuple[int, int] | None = None
    """Width and height of the pictures, where the model takes any."""
    layout: Literal["NHWC", "NCHW"] | None = None
    """Where the channels are; only asked where the shape fits both."""
    datatype: str | None = None
    """Element type of the input, where the server says nothing of its tensors."""
    pixel_range: tuple[float, float] | None = None
    """What pixels 0 and 255 become where the model takes real numbers: (0, 1), (−1, 1) or (0, 255)."""
    binary: bool | None = None
    """Tensors as bytes, or as JSON."""
    max_batch: int | None = None
    """Pictures that a request may have."""
    sha256: str | None = None
    """SHA-256, in hexadecimal digits, of the file of a published extractor that the model is made from: it is tested as such."""


DEFAULT_ACCESS: Final = Access()
NOTHING_KNOWN: Final = ModelOptions()
