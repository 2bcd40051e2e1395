"""Ask a server by Triton's own client: ``python -m …triton_client HOST:PORT MODEL PICTURES.npy``; prints what it got as JSON."""

import json
import sys
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

address, model, file = sys.argv[1:]
pictures = np.load(file)
client = InferenceServerClient(address)
metadata = client.get_model_metadata(model)
(given,), (wanted,) = metadata["inputs"], metadata["outputs"]
told: dict[str, Any] = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "model ready": client.is_model_ready(model),
    "server": client.get_server_metadata(),
    "metadata": metadata,
    "embeddings": {},
}
for binary in (False, True):
    tensor = InferInput(given["name"], list(pictures.shape), given["datatype"])
    tensor.set_data_from_numpy(pictures, binary_data=binary)
    output = InferRequestedOutput(wanted["name"], binary_data=binary)
    answer = client.infer(model, [tensor], outputs=[output], request_id="1")
    told["embeddings"]["bytes" if binary else "json"] = answer.as_numpy(wanted["name"]).tolist()
json.dump(told, sys.stdout)
