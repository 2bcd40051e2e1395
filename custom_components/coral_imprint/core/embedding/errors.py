"""What can go wrong between a picture and its embedding, by name.

Every error carries what a caller needs to translate it: ``key`` names the message, ``details`` fill its placeholders.
"""

from typing import ClassVar


class EmbeddingError(Exception):
    """A picture could not be turned into an embedding."""

    key: ClassVar[str] = "embedding_failed"

    def __init__(self, message: str, **details: str) -> None:
        """Take the English message and the placeholders of its translation."""
        super().__init__(message)
        self.details: dict[str, str] = {"reason": message, **details}


class NotAPicture(EmbeddingError):
    """The bytes are no picture that can be decoded (empty, truncated, HTML, a decompression bomb…)."""

    key = "not_a_picture"


class InvalidRegion(EmbeddingError):
    """A region outside the frame, inside out, or too small to show anything."""

    key = "invalid_region"


class InvalidPixels(EmbeddingError):
    """An array of pixels of another shape or type than the extractor takes."""

    key = "invalid_pixels"


class ModelError(EmbeddingError):
    """An extractor's file can't be used."""

    key = "model_error"


class CorruptModel(ModelError):
    """The file is no TFLite model, is truncated, or contradicts itself."""

    key = "corrupt_model"


class UnsupportedOperator(ModelError):
    """The graph needs an operator, or a variant of one, that this runtime lacks."""

    key = "unsupported_operator"


class UnsupportedModel(ModelError):
    """The graph is sound, but is no extractor: wrong input shape or type, or no vector to stop at."""

    key = "unsupported_model"


class ModelTooLarge(UnsupportedModel):
    """The graph is sound, but takes more memory or time than an extractor may."""


class RuntimeUnavailable(EmbeddingError):
    """The runtime asked for can't run on this machine."""

    key = "runtime_unavailable"


class SelfTestFailed(EmbeddingError):
    """A runtime computes something else from the test pictures than it should."""

    key = "self_test_failed"


class DownloadError(EmbeddingError):
    """A published file could not be fetched."""

    key = "download_failed"


class WrongContent(DownloadError):
    """What was fetched is not the published file."""

    key = "download_wrong_content"


class DownloadNotStored(DownloadError):
    """The disk refused what was fetched."""

    key = "download_not_stored"


class WrongLabels(EmbeddingError):
    """Labels that don't belong to the classes: not as many, or no labels at all."""

    key = "wrong_labels"


class UnknownNetworkClass(EmbeddingError):
    """A classifier network has no class of this name, or several."""

    key = "unknown_network_class"


class InvalidAddress(EmbeddingError):
    """What should be the address of an inference server is none."""

    key = "invalid_address"


class ServerError(RuntimeUnavailable):
    """An inference server could not be used. Details: its address without secrets, ``server``."""

    key = "server_failed"


class ServerUnreachable(ServerError):
    """Nothing answers at the address, or not in time."""

    key = "server_unreachable"


class ServerUntrusted(ServerError):
    """The server's TLS certificate is not valid."""

    key = "server_untrusted"


class ServerDenied(ServerError):
    """The server wants a token, or another one."""

    key = "server_denied"


class ServerBusy(ServerError):
    """The server has too much to do (503, 429)."""

    key = "server_busy"

    def __init__(self, message: str, *, wait: float, **details: str) -> None:
        """``wait``: seconds until it may be asked again."""
        super().__init__(message, **details)
        self.wait = wait


class ServerRefused(ServerError):
    """The server answered a request with an error."""

    key = "server_refused"


class UnusableAnswer(ServerError):
    """What the server answered is no embedding: another shape or type, not finite, too large, or not the protocol at all."""

    key = "server_unusable_answer"


class NoSuchModel(ServerError):
    """The server is there, but has no model of that name."""

    key = "server_no_such_model"


class ModelChanged(ServerError):
    """Every server that can be reached embeds otherwise than when the engine was opened: the model was exchanged."""

    key = "server_model_changed"


class PixelRangeUnknown(UnsupportedModel):
    """A model takes real numbers, and nothing says what a pixel's 0 to 255 become."""

    key = "pixel_range_unknown"
