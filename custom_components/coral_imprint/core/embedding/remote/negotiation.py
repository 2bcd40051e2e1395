"""What to try with a model, from what its server says of it and what the caller knows. Pure."""

from collections.abc import Iterator, Sequence
import math
from typing import Final

from ..errors import PixelRangeUnknown, UnsupportedModel
from .answers import ModelInfo, TensorInfo
from .contract import CODES, PIXEL_TYPES, Contract, finite
from .settings import ModelOptions

MOST: Final = 8
"""Pictures per request where neither server nor caller says how many."""
MOST_EVER: Final = 64

_SIDES: Final = (16, 1024)
"""Least and most pixels of a side that a picture for a model may have."""
_CHANNELS: Final = 3

COMMON_RANGES: Final = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
"""What is tried where the model is made from a published extractor, which shows whether it is right."""


def propose(info: ModelInfo, model: str, options: ModelOptions) -> list[Contract]:
    """Return what to agree on, by preference; they differ in the range of pixels alone.

    Raises UnsupportedModel where the model takes no pictures or gives no vectors, PixelRangeUnknown where nothing says what
    pixels become, and no published extractor is named to tell by.
    """
    picture, output = _input(info, options), _output(info, options)
    planar, batched = _arrangement(picture, options)
    size = _size(picture, planar, batched, options)
    filled, most = _batch(picture, info, batched, options)
    return [
        Contract(
            model=model,
            version=options.version,
            input=picture.name,
            output=output,
            datatype=picture.datatype,
            size=size,
            planar=planar,
            batched=batched,
            filled=filled,
            most=most,
            pixel_range=pixel_range,
            binary=options.binary is not False,
        )
        for pixel_range in _ranges(picture, info, options)
    ]


def published_sha256(info: ModelInfo, options: ModelOptions) -> str | None:
    """Return the SHA-256 of the published extractor that a model is made from, where it is named."""
    stated = options.sha256 or info.parameters.get("sha256")
    return stated.lower() if isinstance(stated, str) and len(stated) == 64 else None


def _input(info: ModelInfo, options: ModelOptions) -> TensorInfo:
    """Return the tensor that takes pictures."""
    if not info.inputs and options.input and options.size:
        # The server is silent; the usual shape is worth a trial.
        width, height = options.size
        planar = options.layout == "NCHW"
        shape = (-1, _CHANNELS, height, width) if planar else (-1, height, width, _CHANNELS)
        return TensorInfo(options.input, options.datatype or "UINT8", shape)
    named = [tensor for tensor in info.inputs if options.input in (None, tensor.name)]
    fitting = [tensor for tensor in named if tensor.datatype in PIXEL_TYPES and _layouts(tensor.shape)]
    if len(fitting) != 1 or (len(info.inputs) > 1 and options.input is None):
        raise _unsupported(f"it takes no single picture; its inputs are {_listed(info.inputs)}")
    return fitting[0]


def _output(info: ModelInfo, options: ModelOptions) -> str:
    """Return the name of the tensor that has the embeddings."""
    if options.output:
        return options.output
    fitting = [tensor.name for tensor in info.outputs if tensor.datatype in {"FP32", "FP64", "FP16"}]
    if "embedding" in fitting:
        return "embedding"
    if len(fitting) != 1:
        raise _unsupported(f"which of its outputs is the embedding is not clear: {_listed(info.outputs)}")
    return fitting[0]


def _layouts(shape: Sequence[int]) -> list[str]:
    """Return the layouts that a shape, of one picture or several, can have."""
    if len(shape) not in {3, 4}:
        return []
    single = shape[-3:]
    return [
        layout
        for layout, channels, sides in (("NHWC", single[2], single[:2]), ("NCHW", single[0], single[1:]))
        if channels in {_CHANNELS, -1} and all(side == -1 or _SIDES[0] <= side <= _SIDES[1] for side in sides)
    ]


def _arrangement(picture: TensorInfo, options: ModelOptions) -> tuple[bool, bool]:
    """Return whether channels come first, and whether there is a dimension for several pictures."""
    layouts = _layouts(picture.shape)
    layout = options.layout if options.layout in layouts else layouts[0]
    return layout == "NCHW", len(picture.shape) == 4


def _size(picture: TensorInfo, planar: bool, batched: bool, options: ModelOptions) -> tuple[int, int]:
    """Return the width and height of the pictures."""
    single = picture.shape[1:] if batched else picture.shape
    height, width = single[1:] if planar else single[:2]
    wanted = options.size or (width, height)
    if -1 in wanted:
        raise _unsupported("it takes pictures of any size: which one to use has to be chosen")
    if any(side not in {-1, chosen} for side, chosen in zip((width, height), wanted, strict=True)):
        raise _unsupported(f"it takes pictures of {width}×{height} pixels, not {wanted[0]}×{wanted[1]}")
    if not all(_SIDES[0] <= side <= _SIDES[1] for side in wanted):
        raise _unsupported(f"pictures of {wanted[0]}×{wanted[1]} pixels are not possible")
    return wanted


def _batch(picture: TensorInfo, info: ModelInfo, batched: bool, options: ModelOptions) -> tuple[int | None, int]:
    """Return how many pictures a request must have (None: any number), and how many it may have."""
    if not batched:
        return None, 1
    if picture.shape[0] not in {-1, 0}:
        filled = picture.shape[0]
        if not 1 <= filled <= MOST_EVER:
            raise _unsupported(f"it takes {filled} pictures at a time")
        return (None, 1) if filled == 1 else (filled, filled)
    stated = finite(_parameter(picture, info, "max_batch_size"))
    return None, min(max(1, int(options.max_batch or stated or MOST)), MOST_EVER)


def _ranges(picture: TensorInfo, info: ModelInfo, options: ModelOptions) -> Sequence[tuple[float, float]]:
    """Return what pixels 0 and 255 may become, by preference."""
    if picture.datatype in CODES:
        return (CODES[picture.datatype],)
    stated = options.pixel_range or next(_stated_ranges(picture, info), None)
    if stated:
        return (stated,)
    if published_sha256(info, options):
        return COMMON_RANGES
    raise PixelRangeUnknown(
        f"The model takes real numbers ({picture.datatype}), and nothing says what pixels become: 0 to 1, −1 to 1 or 0 to 255"
    )


def _stated_ranges(picture: TensorInfo, info: ModelInfo) -> Iterator[tuple[float, float]]:
    """Yield the range that the server states: as ``low`` and ``high``, or as a quantisation of codes 0 to 255."""
    low, high = (finite(_parameter(picture, info, key)) for key in ("low", "high"))
    if low is not None and high is not None and low < high:
        yield low, high
    scale, zero = (finite(_parameter(picture, info, key)) for key in ("scale", "zero_point"))
    if scale is not None and zero is not None and scale > 0 and math.isfinite(scale * (abs(zero) + 255)):
        yield -scale * zero, scale * (255 - zero)


def _parameter(picture: TensorInfo, info: ModelInfo, key: str) -> object:
    return picture.parameters.get(key, info.parameters.get(key))


def _listed(tensors: Sequence[TensorInfo]) -> str:
    return "; ".join(f"{tensor.name} {tensor.datatype} {list(tensor.shape)}" for tensor in tensors) or "not told"


def _unsupported(why: str) -> UnsupportedModel:
    return UnsupportedModel(f"The server's model is no extractor that can be used: {why}")
