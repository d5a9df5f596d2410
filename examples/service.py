"""A web service whose requests share one session, and many that ask it at once.

    pip install fastapi httpx

Served for real with `uvicorn service:app`. The model is made here, so that nothing need be
downloaded: two layers, 90 % of their weights zero.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from onnx import TensorProto, helper, numpy_helper
from pydantic import BaseModel

import gossamer

random = np.random.default_rng(0)
weights = {
    name: (random.standard_normal(shape) * (random.random(shape) < 0.1)).astype(np.float32)
    for name, shape in {"w1": (64, 256), "w2": (256, 10)}.items()
}
model = helper.make_model(
    helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w1"], ["h"]),
            helper.make_node("Relu", ["h"], ["a"]),
            helper.make_node("MatMul", ["a", "w2"], ["y"]),
        ],
        "two_layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    ),
    opset_imports=[helper.make_opsetid("", 17)],
    ir_version=8,
)

session = gossamer.InferenceSession(model.SerializeToString())  # one for all requests
app = FastAPI()


class Rows(BaseModel):
    rows: list[list[float]]


# Not `async`: FastAPI gives each request a thread, and several may call the session at once.
@app.post("/predict")
def predict(given: Rows) -> list[list[float]]:
    try:
        (found,) = session.run(None, {"x": np.asarray(given.rows, np.float32)})
    except gossamer.errors.DataError as error:
        raise HTTPException(422, str(error)) from error
    return found.tolist()


if __name__ == "__main__":
    client = TestClient(app)

    def ask(number: int) -> float:
        """Return how far a request's answer is from NumPy's."""
        x = np.random.default_rng(number).standard_normal((1 + number % 4, 64))
        found = client.post("/predict", json={"rows": x.tolist()}).raise_for_status().json()
        expected = np.maximum(x @ weights["w1"], 0) @ weights["w2"]
        return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())

    with ThreadPoolExecutor(8) as pool:
        differences = list(pool.map(ask, range(100)))
    print(f"100 requests, 8 at once: within {max(differences):.0e} of NumPy")
    assert max(differences) < 1e-4

    refused = client.post("/predict", json={"rows": [[1.0, 2.0]]})
    print(refused.status_code, refused.json()["detail"])
    assert refused.status_code == 422
