"""What a dense model does in ordinary runtimes: the rivals that a sparse one has to beat."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.errors import GossamerError, ModelError, first_line

Array = NDArray[Any]


@dataclass(frozen=True)
class Baseline:
    """A file in an engine, under the name that tables call it by."""

    name: str
    file: Path
    engine: str


def baselines(
    dense: Path, feeds: Mapping[str, Array], folder: Path
) -> tuple[list[Baseline], list[str]]:
    """Return int8 in ONNX Runtime and, where OpenVINO is installed, its bf16 or fp32 and int8.

    Args:
        dense: the dense model, an ONNX file.
        feeds: inputs by name, to calibrate the int8 of convolutions on.
        folder: where the int8 file is written.

    Returns:
        The baselines, and a sentence for each that could not be made.
    """
    found: list[Baseline] = []
    notes: list[str] = []
    int8 = folder / f"{dense.stem}-int8.onnx"
    try:
        quantize(dense, int8, feeds)
        found.append(Baseline("int8, ONNX Runtime", int8, "onnxruntime"))
    except GossamerError as error:
        notes.append(f"There is no int8 baseline: {error}.")
    if importlib.util.find_spec("openvino"):
        try:
            precision = openvino_precision()
        except Exception as error:  # A broken installation fails in ways of its own.
            notes.append(f"OpenVINO does not work here ({type(error).__name__}: {error}).")
            return found, notes
        found.append(Baseline(f"{precision}, OpenVINO", dense, "openvino"))
        if int8.is_file():
            found.append(Baseline("int8, OpenVINO", int8, "openvino"))
    return found, notes


def openvino_precision() -> str:
    """Return in what OpenVINO computes a float32 model here by default."""
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "dense bf16" if "BF16" in capabilities else "dense fp32"


def quantize(dense: Path, int8: Path, feeds: Mapping[str, Array]) -> None:
    """Quantize as ONNX Runtime's guide advises, with its defaults.

    Dynamically, which needs no data; models with convolutions statically, calibrated on `feeds`,
    since dynamic int8 makes these slower.

    Args:
        dense: an ONNX file.
        int8: the file to write.
        feeds: inputs by name.

    Raises:
        ModelError: if ONNX Runtime cannot quantize the model.
    """
    # Its advice to run preprocessing first goes to the log, and once to stdout.
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(StringIO()):
            _quantize(dense, int8, feeds)
    except Exception as error:  # It raises a dozen types of its own.
        reason = first_line(error)
        raise ModelError(f"ONNX Runtime cannot quantize the model ({reason})") from error
    finally:
        logging.disable(logging.NOTSET)


def _quantize(dense: Path, int8: Path, feeds: Mapping[str, Array]) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static

    class Once(CalibrationDataReader):  # type: ignore[misc]
        """Gives the feeds once."""

        def __init__(self) -> None:
            self._left = [{name: np.asarray(array) for name, array in feeds.items()}]

        def get_next(self) -> dict[str, Array] | None:
            return self._left.pop() if self._left else None

    nodes = onnx.load(dense, load_external_data=False).graph.node
    if any(node.op_type == "Conv" for node in nodes):
        quantize_static(dense, int8, Once())
    else:
        quantize_dynamic(dense, int8)
