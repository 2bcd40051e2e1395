"""An exported file at work: what it answers for pictures, executed as a whole."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError, UnsupportedModel
from ..network.model import read_model
from ..pictures import layout
from ..pictures.decoding import WHOLE, Region, View, cut
from ..runtimes.litert import interpreter_class
from ..runtimes.pixels import picture_range
from .columns import class_columns


def exported_answers(model: bytes, pictures: Iterable[bytes], region: Region = WHOLE) -> NDArray[np.float32]:
    """Return the probabilities that an exported file gives for one region of pictures, by LiteRT: shape (n, C).

    ``model`` is what `export_model` returned, of the same extractor that embeds: native code executes it, and believes it.
    Pictures are cut as the embedder cuts them. Raises RuntimeUnavailable where LiteRT can't be imported, UnsupportedModel where it
    refuses the file, NotAPicture, and EmbeddingError where it fails.
    """
    made_by = interpreter_class()
    try:
        interpreter: Any = made_by(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise UnsupportedModel(f"LiteRT refuses the exported file: {error}") from error
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    read = read_model(model)
    low, high = picture_range(read) if source["dtype"] == np.float32 else (0.0, 255.0)
    rows = []
    for picture in pictures:
        # The embedder decodes a picture once, for both views.
        _, pixels = cut(picture, [View(region, *layout.SIZE), View(region, *read.input_size)])
        given = pixels * np.float32((high - low) / 255) + np.float32(low)
        try:
            interpreter.set_tensor(source["index"], given[np.newaxis].astype(source["dtype"]))
            interpreter.invoke()
            answer = interpreter.get_tensor(target["index"])[0]
        except (ValueError, RuntimeError) as error:
            raise EmbeddingError(f"LiteRT failed: {error}") from error
        rows.append(answer.astype(np.float32) * np.float32(target["quantization"][0] or 1))
    if not rows:
        return np.zeros((0, int(target["shape"][-1])), np.float32)
    return np.stack(rows)


def layer_answers(model: bytes, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits that an exported file's layer gives to unit embeddings (n, d) of its network's part: shape (n, C).

    Nothing is executed: the layer is read back from the file. Raises what `class_columns` raises.
    """
    columns = class_columns(model)
    return np.asarray(embeddings @ columns.vectors.T + columns.bias, np.float32)
