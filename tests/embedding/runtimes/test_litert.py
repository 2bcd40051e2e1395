"""The LiteRT runtime."""

import importlib
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from embedding.errors import CorruptModel, EmbeddingError, InvalidPixels, RuntimeUnavailable, UnsupportedModel
from embedding.network.model import read_model
from embedding.runtimes import litert
from embedding.runtimes.runtime import open_runtime
from tests.embedding.graphs import classifier
from tests.embedding.tflite_builder import GraphBuilder, Scale

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)


def test_cut_file_gives_what_the_whole_file_has_inside() -> None:
    """The embedding of the cut file is the pool's tensor of an interpreter that keeps all of them."""
    from ai_edge_litert.interpreter import Interpreter

    data, pooled = classifier()
    model = read_model(data)
    with pytest.warns(UserWarning, match="experimental_preserve_all_tensors"):
        whole = Interpreter(model_content=data, experimental_preserve_all_tensors=True)
    whole.allocate_tensors()
    whole.set_tensor(whole.get_input_details()[0]["index"], PIXELS[np.newaxis])
    whole.invoke()
    expected = litert.dequantised(whole.get_tensor(pooled), model.tensors[pooled]).reshape(-1)
    runtime = litert.LiteRTRuntime(model)
    np.testing.assert_array_equal(runtime.embed(PIXELS), expected)


@pytest.mark.parametrize(
    ("dtype", "scale", "expected"),
    [
        ("uint8", Scale([1 / 128], 128), lambda pixels: (pixels - 128.0) / 128),
        ("int8", Scale([1 / 128], 0), lambda pixels: (pixels - 128.0) / 128),
        ("int8", Scale([1 / 255], -128), lambda pixels: pixels / 255),
        ("float32", None, lambda pixels: pixels * 2 / 255 - 1),
    ],
)
@pytest.mark.parametrize("runtime", ["portable", "litert"])
def test_what_pixels_become(dtype: str, scale: Scale | None, expected: Any, runtime: Any) -> None:
    """Both runtimes hand the network the numbers that its input's type and quantisation mean."""
    builder = GraphBuilder()
    picture = builder.tensor([1, 8, 6, 3], dtype, scale)
    shape = builder.constant(np.array([1, 144], np.int32))
    flat = builder.operator("RESHAPE", [picture, shape], builder.tensor([1, 144], dtype, scale))
    opened = open_runtime(builder.build([picture], [flat]), runtime)
    assert opened.family == runtime
    assert (opened.input_size, opened.length) == ((6, 8), 144)
    np.testing.assert_allclose(opened.embed(PIXELS), expected(PIXELS.reshape(-1).astype(np.float64)), atol=1e-6)


def test_several_threads() -> None:
    """Threads change the time, not the embedding."""
    data, _ = classifier()
    for family in ("portable", "litert"):
        one, two = (open_runtime(data, family, threads) for threads in (1, 2))
        np.testing.assert_array_equal(one.embed(PIXELS), two.embed(PIXELS))


def test_wrong_pixels_are_named() -> None:
    """Pixels of another shape never reach the interpreter."""
    data, _ = classifier()
    runtime = litert.LiteRTRuntime(read_model(data))
    with pytest.raises(InvalidPixels, match=r"\(8, 6, 3\)"):
        runtime.embed(PIXELS[:4])


def test_closed() -> None:
    """A closed runtime says so."""
    data, _ = classifier()
    runtime = litert.LiteRTRuntime(read_model(data))
    runtime.close()
    with pytest.raises(EmbeddingError, match="closed"):
        runtime.embed(PIXELS)


def without_litert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the machine one without any interpreter."""

    def missing(name: str) -> ModuleType:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(litert, "find_spec", lambda name: None)
    monkeypatch.setattr(litert, "importlib", SimpleNamespace(import_module=missing))


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without LiteRT, asking for it is an error that names what is missing."""
    data, _ = classifier()
    assert litert.available()
    assert litert.version() == f"ai-edge-litert {metadata.version('ai-edge-litert')}"
    without_litert(monkeypatch)
    assert not litert.available()
    assert litert.version() is None
    with pytest.raises(RuntimeUnavailable, match="ai_edge_litert"):
        open_runtime(data, "litert")


def test_former_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only tflite_runtime is installed, its interpreter is taken."""
    present = importlib.import_module("ai_edge_litert.interpreter")

    def only_former(name: str) -> ModuleType:
        if name != "tflite_runtime.interpreter":
            raise ImportError(name)
        return present

    monkeypatch.setattr(litert, "importlib", SimpleNamespace(import_module=only_former))
    data, _ = classifier()
    assert open_runtime(data, "litert").family == "litert"


class _Failing:
    """An interpreter that fails as the real one does, at a chosen call."""

    def __init__(self, at: str) -> None:
        self._at = at

    def __call__(self, **_: Any) -> "_Failing":
        return self

    def __getattr__(self, name: str) -> Any:
        if name == self._at:
            raise RuntimeError("Node number 3 failed")
        return lambda *_: [{"index": 0}]


def test_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that LiteRT refuses is an error with LiteRT's own words."""
    monkeypatch.setattr(litert, "interpreter_class", lambda: _Failing("allocate_tensors"))
    data, _ = classifier()
    with pytest.raises(UnsupportedModel, match="Node number 3 failed"):
        open_runtime(data, "litert")


def test_failing_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter's error during a frame is a named one."""
    monkeypatch.setattr(litert, "interpreter_class", lambda: _Failing("invoke"))
    data, _ = classifier()
    with pytest.raises(EmbeddingError, match="Node number 3 failed"):
        open_runtime(data, "litert").embed(PIXELS)


@pytest.mark.parametrize("runtime", ["portable", "litert"])
def test_corrupt_files_reach_no_runtime(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file is refused by the reader, whatever the runtime."""
    monkeypatch.setattr(litert, "interpreter_class", lambda: pytest.fail("the interpreter was loaded"))
    with pytest.raises(CorruptModel):
        open_runtime(classifier()[0][:500], runtime)


def test_threads_are_checked() -> None:
    """No thread is no setting."""
    with pytest.raises(ValueError, match="thread"):
        open_runtime(classifier()[0], "portable", 0)


class Machine(NamedTuple):
    """What `installable` looks at."""

    system: str = "Linux"
    machine: str = "x86_64"
    libc: str | None = "glibc 2.36"
    python: tuple[int, int] = (3, 14)
    bits: int = 64
    free_threaded: int = 0
    macos: str = ""
    implementation: str = "CPython"


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (Machine(), True),
        (Machine(machine="aarch64", libc="glibc 2.27", python=(3, 10)), True),
        (Machine(system="Darwin", machine="arm64", libc=None, macos="12.0"), True),
        (Machine(system="Windows", machine="AMD64", libc=None), True),
        (Machine(libc=None), False),  # musl: Home Assistant OS and Container
        (Machine(libc="glibc 2.26"), False),
        (Machine(libc="uClibc 1.0"), False),
        (Machine(libc="glibc unknown"), False),
        (Machine(machine="armv7l"), False),
        (Machine(machine="aarch64", bits=32), False),  # a 32-bit system on a 64-bit kernel
        (Machine(python=(3, 15)), False),
        (Machine(python=(3, 9)), False),
        (Machine(free_threaded=1), False),
        (Machine(implementation="PyPy"), False),
        (Machine(system="Darwin", machine="x86_64", libc=None, macos="12.0"), False),
        (Machine(system="Darwin", machine="arm64", libc=None, macos="11.6"), False),
        (Machine(system="Windows", machine="ARM64", libc=None), False),
        (Machine(system="FreeBSD", machine="amd64", libc=None), False),
    ],
)
def test_installable(machine: Machine, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wheels are for 64-bit systems with glibc, for newer Macs, for Windows; not for musl."""

    def confstr(name: str) -> str | None:
        if machine.libc is None:
            raise ValueError("unrecognized configuration name")
        return machine.libc

    fakes = {
        "os": SimpleNamespace(confstr=confstr),
        "platform": SimpleNamespace(
            system=lambda: machine.system,
            machine=lambda: machine.machine,
            mac_ver=lambda: (machine.macos, ("", "", ""), ""),
            python_implementation=lambda: machine.implementation,
        ),
        "sys": SimpleNamespace(version_info=(*machine.python, 2, "final", 0), maxsize=2 ** (machine.bits - 1) - 1),
        "sysconfig": SimpleNamespace(get_config_var=lambda name: machine.free_threaded),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(litert, name, fake)
    assert litert.installable() is expected


def test_installed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that appears in a folder that Python knows is seen without a restart."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(litert, "_PACKAGES", ("litert_of_tomorrow",))
    assert not litert.available()
    (tmp_path / "litert_of_tomorrow").mkdir()
    (tmp_path / "litert_of_tomorrow" / "__init__.py").touch()
    assert litert.available()
    assert litert.version() == "litert-of-tomorrow"
