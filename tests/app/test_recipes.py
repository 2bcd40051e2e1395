"""The recipes of docs/scaling.md: by the servers themselves where they can run here, by their own readers where they can't."""

from collections.abc import Iterator
from contextlib import contextmanager
import importlib.util
import json
import os
from pathlib import Path
import subprocess
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any
import urllib.error
import urllib.request

import numpy as np
from numpy.typing import NDArray
import pytest
import yaml

from embedding.network.model import read_model
from embedding.runtimes.litert import LiteRTRuntime

from .conftest import EMBEDDING, ROOT
from .test_keeper import free_port

RECIPES = ROOT / "docs" / "recipes"
TRITON = RECIPES / "triton" / "mobilenet_v1_1.0_224"
ENVIRONMENTS = Path(os.environ.get("CORAL_IMPRINT_SERVERS") or ROOT / ".dev")
MODEL = ROOT.parent / "shared" / "models" / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
PATIENCE = 60

needs_model = pytest.mark.skipif(not MODEL.is_file(), reason=f"needs Google's {MODEL.name} beside the checkout")


def python_of(server: str) -> Path:
    """Return the Python of a server's environment; skips where it is not there."""
    python = ENVIRONMENTS / server / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"needs {server} ({ENVIRONMENTS / server}): run scripts/setup servers")
    return python


def read_by(server: str, kind: str, *files: Path) -> Any:
    """Return what a server's own package reads in files."""
    checks = Path(__file__).with_name("recipe_checks.py")
    result = subprocess.run(
        [python_of(server), checks, kind, *files], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (224, 224, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def expected(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what LiteRT makes of the picture in this process."""
    runtime = LiteRTRuntime(read_model(MODEL.read_bytes()))
    try:
        return unit(runtime.embed(picture))
    finally:
        runtime.close()


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = vector / np.linalg.norm(vector)
    return scaled


@contextmanager
def serving(port: int, *command: object, token: str = "", **more: str) -> Iterator[str]:
    """Run a server until it is ready; yields its address."""
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(list(map(str, command)), env={**os.environ, **more}) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    ask(f"{url}/v2/health/ready", token)
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < deadline
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait(PATIENCE)


def ask(url: str, token: str = "", body: Any = None) -> Any:
    request = urllib.request.Request(
        url,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read())


def embedded(url: str, model: str, picture: NDArray[np.uint8], token: str = "") -> NDArray[np.float32]:
    """Return the embedding that a server makes of a picture."""
    tensor = {"name": "input", "datatype": "UINT8", "shape": [1, 224, 224, 3], "data": picture.ravel().tolist()}
    answer = ask(f"{url}/v2/models/{model}/infer", token, {"inputs": [tensor]})
    (output,) = answer["outputs"]
    assert output["name"] == "embedding" and output["shape"] == [1, 1024]
    return unit(np.array(output["data"], np.float32))


def test_kserve_knows_every_field() -> None:
    runtime, service = read_by(
        "kserve", "kserve", RECIPES / "kserve" / "runtime.yaml", RECIPES / "kserve" / "service.yaml"
    )
    assert service["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"]
    formats = {row["name"] for row in runtime["spec"]["supportedModelFormats"]}
    assert service["spec"]["predictor"]["model"]["modelFormat"]["name"] in formats
    assert service["spec"]["predictor"]["model"]["protocolVersion"] in runtime["spec"]["protocolVersions"]


@pytest.mark.parametrize(("name", "wrong"), [("minReplicas", "minReplica"), ("modelFormat:", "format:"), ("v2", "2")])
def test_kserves_check_finds_what_is_wrong(tmp_path: Path, name: str, wrong: str) -> None:
    python = python_of("kserve")
    file = tmp_path / "service.yaml"
    file.write_text((RECIPES / "kserve" / "service.yaml").read_text().replace(name, wrong))
    checks = Path(__file__).with_name("recipe_checks.py")
    assert subprocess.run(
        [python, checks, "kserve", file], capture_output=True, check=False, timeout=PATIENCE
    ).returncode


@needs_model
def test_kserve_runtime_starts_the_server(
    tmp_path: Path, picture: NDArray[np.uint8], expected: NDArray[np.float32]
) -> None:
    """With the very words of the file, but for the paths and the port."""
    runtime = yaml.safe_load((RECIPES / "kserve" / "runtime.yaml").read_text())
    (container,) = runtime["spec"]["containers"]
    app = yaml.safe_load((ROOT / "app" / "config.yaml").read_text())
    assert container["image"] == f"{app['image']}:{app['version']}"
    assert container["command"] == ["python", "-m", "embedding.server"]
    token = "a-token-of-the-tests"
    (tmp_path / "token").write_text(token)
    port = free_port()
    here = {
        "/mnt/models": str(MODEL), "/run/token/token": str(tmp_path / "token"), "8080": str(port), "0.0.0.0": "127.0.0.1",
    }  # fmt: skip
    assert set(here) <= set(container["args"])
    words = [here.get(word, word) for word in container["args"]]
    probes = {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}
    with serving(port, sys.executable, "-m", "embedding.server", *words, PYTHONPATH=str(EMBEDDING.parent)) as url:
        for path in probes:
            ask(url + path)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{url}/v2/models/mobilenet_v1_1.0_224")
        vector = embedded(url, "mobilenet_v1_1.0_224", picture, token)
    assert vector @ expected > 0.99999


@needs_model
def test_kserves_own_server_serves_the_recipe(picture: NDArray[np.uint8], expected: NDArray[np.float32]) -> None:
    python, port = python_of("kserve"), free_port()
    command = [python, RECIPES / "kserve" / "model.py", "--file", MODEL, "--model_name", "extractor"]
    with serving(port, *command, "--http_port", port, "--enable_grpc", "false") as url:
        metadata = ask(f"{url}/v2/models/extractor")
        assert metadata["inputs"] == [{"name": "input", "datatype": "UINT8", "shape": [-1, 224, 224, 3]}]
        assert metadata["outputs"] == [{"name": "embedding", "datatype": "FP32", "shape": [-1, 1024]}]
        vector = embedded(url, "extractor", picture)
        wrong = {"inputs": [{"name": "input", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [0, 0, 0]}]}
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(f"{url}/v2/models/extractor/infer", body=wrong)
    assert vector @ expected > 0.99999


def triton_config() -> Any:
    return read_by("mlserver", "triton", TRITON / "config.pbtxt")


def test_triton_reads_the_configuration() -> None:
    config = triton_config()
    assert config["name"] == TRITON.name and config["backend"] == "python"
    assert config["input"] == [{"name": "input", "data_type": "TYPE_UINT8", "dims": ["224", "224", "3"]}]
    assert config["output"] == [{"name": "embedding", "data_type": "TYPE_FP32", "dims": ["1024"]}]
    assert config["max_batch_size"] > 1 and config["instance_group"][0]["kind"] == "KIND_CPU"


def backend_utils() -> ModuleType:
    """Return what Triton gives its Python models, as far as the recipe uses it."""
    module = ModuleType("triton_python_backend_utils")

    class TritonModelException(Exception):
        pass

    def tensor(name: str, values: NDArray[Any]) -> SimpleNamespace:
        return SimpleNamespace(name=name, as_numpy=lambda: values)

    vars(module).update(
        TritonModelException=TritonModelException,
        Tensor=tensor,
        InferenceResponse=SimpleNamespace,
        get_input_tensor_by_name=lambda request, name: request[name],
    )
    return module


@needs_model
def test_triton_model_embeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: NDArray[np.uint8], expected: NDArray[np.float32]
) -> None:
    """By the recipe's own code and configuration; Triton itself did not run here."""
    utils = backend_utils()
    monkeypatch.setitem(sys.modules, utils.__name__, utils)
    (tmp_path / "model.py").write_bytes((TRITON / "1" / "model.py").read_bytes())
    spec = importlib.util.spec_from_file_location("recipe_model", tmp_path / "model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = triton_config()
    (tmp_path / config["parameters"]["file"]["string_value"]).symlink_to(MODEL)
    model = module.TritonPythonModel()
    model.initialize({"model_config": json.dumps(config)})
    batches = [picture[np.newaxis], np.stack([picture, picture])]
    answers = model.execute([{"input": utils.Tensor("input", batch)} for batch in batches])
    for batch, answer in zip(batches, answers, strict=True):
        (output,) = answer.output_tensors
        assert output.name == "embedding" and output.as_numpy().shape == (len(batch), 1024)
        assert output.as_numpy().dtype == np.float32
        for vector in output.as_numpy():
            assert unit(vector) @ expected > 0.99999
    config["output"][0]["dims"] = ["512"]
    with pytest.raises(utils.TritonModelException, match="512"):
        module.TritonPythonModel().initialize({"model_config": json.dumps(config)})
