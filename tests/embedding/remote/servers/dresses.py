"""The ways in which the servers offer an extractor: as authors of servers choose them, each by its model's name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dress:
    """How a model takes pictures and gives embeddings."""

    input: str = "pictures"
    output: str = "embedding"
    datatype: str = "UINT8"
    planar: bool = False
    pixel_range: tuple[float, float] = (0.0, 255.0)
    batch: int = -1
    pooled: bool = False
    """The output keeps the pool's two dimensions: [N, 1, 1, d]."""

    def input_shape(self, height: int, width: int) -> list[int]:
        """Return the shape of the input, as metadata state it."""
        return [self.batch, *((3, height, width) if self.planar else (height, width, 3))]

    def output_shape(self, length: int) -> list[int]:
        """Return the shape of the output, as metadata state it."""
        return [self.batch, *((1, 1) if self.pooled else ()), length]


DRESSES = {
    "plain": Dress(),
    "float": Dress(input="x", output="pool", datatype="FP32", pixel_range=(-1.0, 1.0), pooled=True),
    "planar": Dress(datatype="FP32", planar=True, pixel_range=(0.0, 1.0)),
    "loud": Dress(datatype="FP32", pixel_range=(0.0, 255.0)),
    "single": Dress(batch=1),
    "four": Dress(batch=4, pooled=True),
}
