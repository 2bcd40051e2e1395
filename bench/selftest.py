"""Measure the self-test on extractors: prints one JSON object; with --write, notes the references that runtimes are checked against.

    python bench/selftest.py MODEL… [--write]

For each extractor: how far LiteRT's embeddings of the test pictures, by each of its sets of kernels, are from the portable
runtime's, and what the test costs. Needs ai-edge-litert.
"""

import argparse
from functools import partial
import hashlib
import json
from pathlib import Path
import time
from unittest.mock import patch

from ai_edge_litert.interpreter import Interpreter, OpResolverType
import numpy as np
from numpy.typing import NDArray

from embedding.pictures import test_pictures
from embedding.runtimes import selftest
from embedding.runtimes.choice import choose_runtime
from embedding.runtimes.runtime import Runtime, open_runtime

KERNELS = {
    "xnnpack": OpResolverType.AUTO,
    "built in": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}
"""LiteRT's own ways to compute the same, which round in different places."""


def _embeddings(runtime: Runtime) -> NDArray[np.float64]:
    """Return unit embeddings of the test pictures."""
    embeddings = np.array([runtime.embed(pixels) for pixels in test_pictures.pictures(runtime.input_size)], np.float64)
    units: NDArray[np.float64] = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return units


def _litert(data: bytes, kernels: OpResolverType) -> Runtime:
    interpreter = partial(Interpreter, experimental_op_resolver_type=kernels)
    with patch("embedding.runtimes.litert.interpreter_class", lambda: interpreter):
        return open_runtime(data, "litert")


def _least_ms(runtime: Runtime, sha256: str) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        selftest.check(runtime, sha256)
        times.append((time.perf_counter() - start) * 1e3)
    return round(min(times), 1)


def _start_ms(data: bytes) -> float:
    """Return what reading, opening, testing and comparing cost without any notes of earlier comparisons."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        runtime, _ = choose_runtime(data)
        times.append((time.perf_counter() - start) * 1e3)
        runtime.close()
    return round(min(times), 1)


def measure(model: Path) -> tuple[str, dict[str, object], dict[str, object]]:
    """Return an extractor's SHA-256, what was measured and the reference."""
    data = model.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    portable = open_runtime(data, "portable")
    expected, units = selftest.similarities(portable), _embeddings(portable)
    report: dict[str, object] = {"portable_ms": _least_ms(portable, sha256), "start_ms": _start_ms(data)}
    spread = 0.0
    for name, kernels in KERNELS.items():
        runtime = _litert(data, kernels)
        difference = float(np.abs(selftest.similarities(runtime) - expected).max())
        spread = max(spread, difference)
        report[f"litert {name}"] = {
            "difference": round(difference, 5),
            "cosine_min": round(float((_embeddings(runtime) * units).sum(axis=1).min()), 5),
            "ms": _least_ms(runtime, sha256),
        }
    reference = {"similarities": [round(float(value), 5) for value in expected], "spread": round(spread, 5)}
    return sha256, report, reference


def write(references: dict[str, dict[str, object]]) -> None:
    """Write the file of references, one extractor per line."""
    lines = ",\n".join(f'    "{sha256}": {json.dumps(references[sha256])}' for sha256 in sorted(references))
    text = f'{{\n  "pictures": {test_pictures.VERSION},\n  "extractors": {{\n{lines}\n  }}\n}}\n'
    Path(selftest.__file__).with_name("references.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Read the command line, print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", metavar="MODEL", nargs="+", type=Path, help="a TFLite file")
    parser.add_argument("--write", action="store_true", help="replace the references by those of these extractors")
    arguments = parser.parse_args()
    reports, references = {}, {}
    for model in arguments.models:
        sha256, reports[model.name], references[sha256] = measure(model)
    if arguments.write:
        write(references)
    print(json.dumps(reports, indent=2))


if __name__ == "__main__":
    main()
