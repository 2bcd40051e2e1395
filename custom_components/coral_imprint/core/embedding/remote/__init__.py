"""The client of inference servers: embeddings by any server of the Open Inference Protocol v2. aiohttp is imported on use."""

from .address import Address
from .pool import CheckPace, Member
from .remote_embedder import RemoteEmbedder, open_remote_embedder, served_models
from .settings import Access, ModelOptions

__all__ = [
    "Access",
    "Address",
    "CheckPace",
    "Member",
    "ModelOptions",
    "RemoteEmbedder",
    "open_remote_embedder",
    "served_models",
]
