"""The client of inference servers: embeddings by any server of the Open Inference Protocol v2. aiohttp is imported on use."""

from .address import Address
from .pool import Member, Pace
from .remote_embedder import RemoteEmbedder, open_remote_embedder, served_models
from .settings import Access, ModelOptions

__all__ = [
    "Access",
    "Address",
    "Member",
    "ModelOptions",
    "Pace",
    "RemoteEmbedder",
    "open_remote_embedder",
    "served_models",
]
