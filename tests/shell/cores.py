"""Parts of the cores' own tests that the shell's tests use too.

They know the cores by another name than the shell does, which a type checker can't follow in one pass: here they are untyped.
"""

from importlib import import_module
from typing import Any, Final

_scripted: Final[Any] = import_module("tests.embedding.remote.scripted")
_client: Final[Any] = import_module("tests.embedding.serving.client")
_standin: Final[Any] = import_module("tests.standin.edgetpu")
_model: Final[Any] = import_module("embedding.network.model")

MODEL: Final[str] = _scripted.MODEL
"""Name of the scripted server's model."""
Scripted: Final[Any] = _scripted.Scripted
"""An inference server that does what a test tells it to."""
replies: Final[Any] = _scripted.replies
serving: Final[Any] = _scripted.serving
running: Final[Any] = _client.running
"""Runs this project's own server in a process."""

COMPILER: Final[str | None] = _standin.COMPILER
StandIn: Final[Any] = _standin.StandIn
"""A libedgetpu that is told its faults."""
standin_twin: Final[Any] = _standin.twin


def compiled(data: bytes) -> bytes:
    """Return what an extractor's file becomes for the Edge TPU, as far as the stand-in needs it."""
    return bytes(_standin.compiled(_model.read_model(data)))
