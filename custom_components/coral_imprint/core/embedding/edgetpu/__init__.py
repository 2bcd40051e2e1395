"""The Edge TPU in a process of its own, and its twin on the CPU."""

from .edgetpu_embedder import EdgeTPUEmbedder, EdgeTPUOptions, open_edgetpu_embedder

__all__ = ["EdgeTPUEmbedder", "EdgeTPUOptions", "open_edgetpu_embedder"]
