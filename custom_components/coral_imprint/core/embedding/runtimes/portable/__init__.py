"""The portable runtime: TFLite graphs executed by NumPy, every buffer allocated once."""

from .runtime import PortableRuntime

__all__ = ["PortableRuntime"]
