"""The graph being compiled: its values, where they lie, and the constants."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from numpy.lib.stride_tricks import as_strided

from ...errors import CorruptModel, ModelTooLarge, UnsupportedModel
from ...network.model import Model, Tensor
from .arena import Arena
from .codes import Call, Codes, Floats, codes_of

MOST_FLOATS: Final = 32 * 1024 * 1024
"""Numbers that a compiled model may hold, weights and maps (128 MiB). MobileNet v1 1.0/224 holds 5 million."""

MOST_STEPS: Final = 1_000_000_000
"""Numbers that may be passed over for a frame, sixteen of a matrix product counting as one: about a second.

MobileNet v1 1.0/224 has 80 million.
"""


@dataclass(frozen=True)
class Border:
    """Zeros kept around a map, so that windows that reach over its edges need no special case."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __or__(self, other: "Border") -> "Border":
        """Return a border wide enough for both."""
        return Border(
            max(self.top, other.top),
            max(self.bottom, other.bottom),
            max(self.left, other.left),
            max(self.right, other.right),
        )

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self != Border()


def as_map(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return a tensor's shape as height, width, channels; tensors of fewer axes are maps of height or width 1."""
    if len(shape) == 4 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) > 3 or 0 in shape:
        raise UnsupportedModel(f"The portable runtime has no tensors of shape {shape}")
    height, width, channels = (1,) * (3 - len(shape)) + shape
    return height, width, channels


@dataclass
class Value:
    """A computed tensor as a map in the arena."""

    shape: tuple[int, int, int]
    """Height, width, channels."""
    codes: Codes
    border: Border = field(default_factory=Border)
    band: int = 0
    """Rows that exist at a time, where a value is passed on band by band; 0 where all do. Such values have no border."""
    buffer: int = -1

    @property
    def _padded_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.shape
        border = self.border
        return border.top + (self.band or height) + border.bottom, border.left + width + border.right, channels

    def reserve(self, arena: Arena, first: int, last: int) -> None:
        """Ask for the memory."""
        height, width, channels = self._padded_shape
        self.buffer = arena.reserve(height * width * channels, first, last)

    def padded(self, arena: Arena) -> Floats:
        """Return the map with its border."""
        return arena.array(self.buffer, self._padded_shape)

    def rows(self, arena: Arena, first: int, last: int) -> Floats:
        """Return rows of the map, shape (last − first, width, channels)."""
        if self.band:
            return self.padded(arena)[: last - first]
        border = self.border
        return self.padded(arena)[border.top + first : border.top + last, border.left : border.left + self.shape[1]]

    def whole(self, arena: Arena) -> Floats:
        """Return the map."""
        return self.rows(arena, 0, self.shape[0])

    def clear_border(self, arena: Arena) -> Iterator[Call]:
        """Write the zeros around the map: other buffers may have used the place since the last frame."""
        if not self.border:
            return
        height, width, channels = self.shape
        border, padded = self.border, self.padded(arena)
        flat = padded.reshape(-1)
        row = padded.shape[1] * channels
        start = border.top * row + border.left * channels
        gap = (border.left + border.right) * channels
        yield flat[:start].fill, (0.0,)
        yield flat[start + (height - 1) * row + width * channels :].fill, (0.0,)
        if gap and height > 1:
            gaps = as_strided(flat[start + width * channels :], (height - 1, gap), (4 * row, 4))
            yield gaps.fill, (0.0,)


def flat_rows(rows: Floats) -> Floats:
    """Return rows (n, width, channels) of a map as (n, width · channels), without copying."""
    count, width, channels = rows.shape
    return as_strided(rows, (count, width * channels), (rows.strides[0], 4))


class CompiledGraph:
    """What the kernels are built from: the model's tensors, their values, and the memory."""

    def __init__(self, model: Model) -> None:
        """Give every computed tensor a value."""
        self.model = model
        self.arena = Arena()
        self.constants: dict[int, Tensor] = {i: t for i, t in enumerate(model.tensors) if t.data is not None}
        self.values: dict[int, Value] = {}
        self._claimed = self._charged = 0
        self.step = 0
        """The step that scratch memory is reserved for."""

    def add_value(self, index: int) -> None:
        """Make a tensor one that is computed."""
        tensor = self.model.tensors[index]
        self.values[index] = Value(as_map(tensor.shape), codes_of(tensor))

    def value(self, index: int) -> Value:
        """Return the value of a computed tensor; raises CorruptModel where an operator wants one and gets a constant."""
        if index not in self.values:
            raise CorruptModel("An operator has a constant where it needs a computed tensor")
        return self.values[index]

    def constant(self, index: int) -> Tensor:
        """Return a constant; raises UnsupportedModel where an operator needs one and gets a computed tensor."""
        if index not in self.constants:
            raise UnsupportedModel("The portable runtime needs constant weights and parameters")
        return self.constants[index]

    def optional(self, inputs: tuple[int, ...], position: int) -> Tensor | None:
        """Return a constant input that may be absent."""
        return self.constant(inputs[position]) if len(inputs) > position and inputs[position] >= 0 else None

    def claim(self, floats: int) -> None:
        """Announce memory that a kernel keeps outside the arena; raises ModelTooLarge where all of it becomes too much."""
        self._claimed += floats
        if self._claimed > MOST_FLOATS:
            raise ModelTooLarge(f"The model needs more than {4 * MOST_FLOATS >> 20} MiB")

    def charge(self, steps: int) -> None:
        """Announce work per frame, in numbers that are passed over; raises ModelTooLarge where it becomes too much."""
        self._charged += steps
        if self._charged > MOST_STEPS:
            raise ModelTooLarge("The model needs more than seconds for a frame")

    def place(self) -> None:
        """Place all buffers; raises ModelTooLarge where they take more than the memory left."""
        self.claim(self.arena.place())

    def scratch(self, size: int) -> int:
        """Reserve memory for the current step alone."""
        return self.arena.reserve(size, self.step, self.step)
