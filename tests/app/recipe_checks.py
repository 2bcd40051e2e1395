"""Checks of the recipes that need the servers' own packages: run by their Pythons, not by the tests' own.

``python recipe_checks.py kserve FILE…`` and ``python recipe_checks.py triton FILE`` end with 0, or say what is wrong. Prints what was read as JSON.
"""

import importlib
import importlib.util
import json
from pathlib import Path
import re
import sys
from typing import Any


def kserve(files: list[str]) -> Any:
    """Read Kubernetes resources by KServe's and Kubernetes's own models, which name every field that there is."""
    models = importlib.import_module("kserve.models")
    client = importlib.import_module("kubernetes.client")
    yaml = importlib.import_module("yaml")

    def model_of(kind: str) -> Any:
        found = getattr(models, kind, None) or getattr(client, kind, None)
        # Kubernetes's own types have no prefix in KServe's.
        return found or getattr(client, f"V1{kind.removeprefix('V1')}", None)

    def check(value: Any, kind: str, where: str) -> None:
        if inner := re.fullmatch(r"list\[(.+)\]", kind, re.IGNORECASE):
            assert isinstance(value, list), where
            for number, entry in enumerate(value):
                check(entry, inner[1], f"{where}[{number}]")
        elif inner := re.fullmatch(r"dict\(str, (.+)\)|dict\[str, (.+)\]", kind, re.IGNORECASE):
            assert isinstance(value, dict), where
            for key, entry in value.items():
                check(entry, inner[1] or inner[2], f"{where}.{key}")
        elif kind in {"str", "int", "float", "bool"}:
            assert type(value).__name__ == kind, f"{where} is {value!r}, not of the type {kind}"
        elif (model := model_of(kind)) is not None:
            names = {outer: own for own, outer in model.attribute_map.items()}
            assert isinstance(value, dict) and set(value) <= set(names), f"{where} has {set(value) - set(names)}"
            for key, entry in value.items():
                check(entry, model.openapi_types[names[key]], f"{where}.{key}")
        else:
            assert kind in {"object", "IntOrString", "ResourceQuantity"}, f"{where}: {kind} is not known here"

    documents = [yaml.safe_load(Path(file).read_text()) for file in files]
    for document in documents:
        group, _, version = document["apiVersion"].partition("/")
        assert group == "serving.kserve.io", group
        check(document, version[0].upper() + version[1:] + document["kind"], document["kind"])
    return documents


def triton(files: list[str]) -> Any:
    """Read a model's configuration by Triton's own message."""
    json_format = importlib.import_module("google.protobuf.json_format")
    text_format = importlib.import_module("google.protobuf.text_format")
    package = importlib.util.find_spec("tritonclient")
    assert package is not None and package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    # The module alone: its package wants gRPC, which reading doesn't need.
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (file,) = files
    message = text_format.Parse(Path(file).read_text(), module.ModelConfig())
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


if __name__ == "__main__":
    print(json.dumps({"kserve": kserve, "triton": triton}[sys.argv[1]](sys.argv[2:])))  # noqa: T201
