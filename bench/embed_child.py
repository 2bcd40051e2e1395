"""One engine alone in a process: what it weighs, and how long its first frame takes. Run by bench/embed.py."""

from collections.abc import Callable
import json
from pathlib import Path
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedding.network.model import read_model
from embedding.pictures import layout
from embedding.runtimes.rewrite import cut_model
from embedding.runtimes.runtime import open_runtime

_RUNS = 3


def interpreter(data: bytes) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return what embeds pixels by LiteRT's own API, with one thread."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - absent where there is no wheel

    opened = Interpreter(model_content=data, num_threads=1)
    opened.allocate_tensors()
    source, target = opened.get_input_details()[0], opened.get_output_details()[0]

    def embed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        codes: NDArray[Any] = pixels
        if source["dtype"] is np.int8:
            codes = (pixels ^ np.uint8(128)).view(np.int8)
        elif source["dtype"] is np.float32:
            codes = pixels / np.float32(127.5) - np.float32(1)
        opened.set_tensor(source["index"], codes[np.newaxis])
        opened.invoke()
        result: NDArray[np.float32] = opened.get_tensor(target["index"]).reshape(-1).astype(np.float32)
        return result

    return embed


def resident() -> float:
    """Return this process's resident memory in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def _imports(way: str) -> None:
    """Import what an engine needs beyond NumPy, Pillow and our own code."""
    if way != "builtin":
        from tflite import Buffer, Model, Operator, SubGraph, Tensor  # noqa: F401, PLC0415 - only models need them
    if way not in ("builtin", "portable"):
        from ai_edge_litert import interpreter as _interpreter  # noqa: F401, PLC0415


def _open(way: str, data: bytes) -> tuple[Callable[[NDArray[np.uint8]], object], tuple[int, int], object]:
    """Open an engine: what embeds, the size of its pictures, and what keeps it alive."""
    if way == "builtin":
        return layout.describe, layout.SIZE, None
    if way in ("portable", "litert"):
        runtime = open_runtime(data, "portable" if way == "portable" else "litert")
        return runtime.embed, runtime.input_size, runtime
    model = read_model(data)
    embed = interpreter(cut_model(model) if way == "interpreter_cut" else data)
    return embed, model.input_size, None


def measure(way: str, file: str) -> dict[str, float]:
    """Open an engine here; milliseconds and MiB."""
    begun = resident()
    start = time.perf_counter()
    _imports(way)
    imported, imports_mib = time.perf_counter(), resident() - begun
    data = Path(file).read_bytes() if file else b""
    embed, (width, height), _kept = _open(way, data)
    del data
    opened = time.perf_counter()
    pixels = np.full((height, width, 3), 90, np.uint8)
    embed(pixels)
    first = time.perf_counter()
    for _ in range(20):
        embed(pixels)
    return {
        "imports_ms": (imported - start) * 1e3,
        "open_ms": (opened - imported) * 1e3,
        "first_frame_ms": (first - opened) * 1e3,
        "imports_mib": imports_mib,
        "engine_mib": resident() - begun - imports_mib,
    }


def measured_alone(way: str, model: Path | None) -> dict[str, float]:
    """Open an engine in a few processes of its own; the median of each figure."""
    command = [sys.executable, __file__, way, str(model.resolve()) if model else ""]
    runs = [
        json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()[-1])
        for _ in range(_RUNS)
    ]
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2])))
