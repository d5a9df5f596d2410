"""Model files in the engines that were entered, and ONNX Runtime and OpenVINO among these.

These are imported when they are asked for, so that measuring itself stands alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gossamer import arguments
from gossamer.engines import ENGINES, Feeds, OpenModel
from gossamer.errors import DataError, ModelError, OptionError, first_line, shown
from gossamer.onnx_runtime import session_class

SPARSE_SUFFIX = ".safetensors"


def open_model(path: Path, engine: str, threads: int) -> OpenModel:
    """Load a model file into an engine.

    Args:
        path: an ONNX file, or a sparse Gossamer file that carries its graph.
        engine: "gossamer"; "onnxruntime" with spinning off, since its threads would otherwise
            burn CPU for 100 ms into the window of whatever runs next; or "openvino" with its
            defaults for latency, bf16 where the processor has it; or what else was entered in
            `gossamer.engines.ENGINES`.
        threads: for one inference.

    Raises:
        ModelError: if the file is missing or the engine cannot load it.
        OptionError: if the engine is unknown or not installed, or `threads` is below 1.
    """
    if not isinstance(engine, str) or engine not in ENGINES:
        raise OptionError(f"engine {shown(engine)} is unknown; choose one of {', '.join(ENGINES)}")
    threads = arguments.whole("threads", threads, 1)
    if not path.is_file():
        raise ModelError(f"{path} does not exist; check the path of the model")
    return ENGINES[engine](path, threads)


def _open_onnxruntime(path: Path, threads: int) -> OpenModel:
    try:
        import onnxruntime
    except ImportError as error:
        raise OptionError(
            "engine onnxruntime is not installed; install gossamer[ort], or measure with gossamer"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Errors come as exceptions; the engine's own lines on the terminal would say them twice.
    options.log_severity_level = 4
    source: str | bytes = str(path)
    if path.suffix == SPARSE_SUFFIX:
        from gossamer.formats import load

        source = load(path).onnx().SerializeToString()
    try:
        session = session_class()(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # The engine has a dozen types of its own for what can be wrong.
        reason = first_line(error)
        raise ModelError(
            f"ONNX Runtime cannot load {path} ({reason}); export the model again"
        ) from error
    names = [value.name for value in session.get_inputs()]
    return OpenModel(
        lambda feeds: list(session.run(None, checked_feeds(feeds, names, path))),
        lambda: None,
        "onnxruntime",
    )


def _open_openvino(path: Path, threads: int) -> OpenModel:
    try:
        import openvino
    except ImportError as error:
        raise OptionError(
            "engine openvino is not installed; install gossamer[openvino], or measure with another"
        ) from error
    if path.suffix == SPARSE_SUFFIX:
        raise ModelError(f"OpenVINO does not read {path}; give it the ONNX file")
    try:
        core = openvino.Core()
        compiled = core.compile_model(
            str(path), "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        )
    except Exception as error:  # Its exceptions are one type, with many lines.
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ModelError(
            f"OpenVINO cannot load {path} ({lines[-1].strip()}); export the model again"
        ) from error
    names = [value.get_any_name() for value in compiled.inputs]
    request = compiled.create_infer_request()

    def run(feeds: Feeds) -> list[Any]:
        found = request.infer(dict(checked_feeds(feeds, names, path)))
        return [found[output] for output in compiled.outputs]

    return OpenModel(run, lambda: None, "openvino")


def checked_feeds(feeds: Feeds, names: list[str], path: Path) -> Feeds:
    """Return the inputs by name that a model file takes.

    Raises:
        DataError: if they are others.
    """
    if set(feeds) != set(names):
        raise DataError(
            f"inputs named {', '.join(sorted(feeds)) or '(none)'} do not fit {path}, which takes "
            f"{', '.join(names)}; name the arrays after the model's inputs"
        )
    return feeds


ENGINES.update(onnxruntime=_open_onnxruntime, openvino=_open_openvino)
