"""The portable runtime: TFLite graphs executed by NumPy, every buffer allocated once."""

from .portable_runtime import PortableRuntime

__all__ = ["PortableRuntime"]
