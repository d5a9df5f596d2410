"""Models that ONNX Runtime runs whole, opened as their user's own session would be: from the same
file or bytes, with the same options, and nothing of ours beside it in memory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from gossamer.errors import DataError
from gossamer.graphs.nodes import nodes
from gossamer.graphs.operation import Array
from gossamer.runtime import emptiness, hazards, onnx_file, ort
from gossamer.runtime import feeds as feeding
from gossamer.runtime.metadata import metadata
from gossamer.runtime.outline import fingerprint, outline
from gossamer.runtime.ports import Port, Sizes, declared, fix_sizes

# The largest message that protocol buffers write.
_LARGEST_MESSAGE = (1 << 31) - 1
_WALKS = 5
_DTYPES: dict[str, Any] = {"float": np.float32, "double": np.float64, "string": object}


class Source:
    """Where a model comes from: it can be read, and opened in ONNX Runtime, at any time.

    Args:
        model: a file, its bytes, or the loaded model.
        weights: names and elements of initializers that the model leaves empty. They are kept if
            they can be iterated only once.
        wishes: how ONNX Runtime is to open it for its user.
        sizes: of inputs by name, numbers for sizes along axes that the model leaves open and that
            the wishes say. A loaded model gets them too.

    Raises:
        ModelError: if there is no such file, or it is no ONNX model.
        OptionError: if `weights` are none.
        UnsafeModelError: if no engine may be given it.
    """

    def __init__(
        self,
        model: str | Path | bytes | onnx.ModelProto,
        weights: Iterable[tuple[str, Array]] = (),
        wishes: ort.Wishes | None = None,
        sizes: Sizes | None = None,
    ) -> None:
        self.model, self.wishes = model, wishes or ort.Wishes()
        self._sizes = sizes or {}
        try:
            once = iter(weights) is weights
        except TypeError:
            once = True
        # What can be iterated only once is kept.
        self._weights = onnx_file.by_name(weights).items() if once else weights
        self._state: object = None
        outlined = outline(model)
        hazards.check(outlined)
        self.fed = emptiness.fed(outlined)
        fix_sizes(outlined, self._sizes)
        self.ports = declared(outlined)
        self.metadata = metadata(outlined)
        self.nodes = [
            (node.name, node.op_type) for node in outlined.graph.node if node.op_type != "Constant"
        ]
        self.operators = {node.op_type for node in nodes(outlined)}

    def read(self) -> onnx_file.Parts:
        """The model, checked, in two parts."""
        parts = onnx_file.read(self.model, self._weights)
        fix_sizes(parts.model, self._sizes)
        return parts

    def remember(self) -> None:
        """Take note of what the model is now, since it will perhaps be opened later."""
        self._state = self._found()

    def open(self, threads: int | None, spinning: ort.Spinning, why: str) -> Any:
        """A session of ONNX Runtime; see `ort.open_session`.

        It is as its user wishes unless its threads are to spin otherwise, which is for a trial.

        Raises:
            DataError: if the model is no longer what it was when it was remembered.
        """
        if self._state is not None and self._state != self._found():
            raise DataError("the model was changed since it was compiled; compile it anew")
        source: str | bytes | onnx.ModelProto
        weights, outlined = onnx_file.by_name(self._weights), outline(self.model)
        wishes = self.wishes if spinning == "default" else None
        # What a user's options hold, such as where weights lie, is for ONNX Runtime to say.
        by_user = wishes is not None and wishes.options is not None
        unsafe = hazards.is_mendable(outlined) or hazards.needs_guards(outlined)
        if unsafe or weights or _is_too_large(self.model):
            parts = onnx_file.take_apart(self.model, weights)
            source = outlined = parts.model
            weights = ort.add_weights(parts.model, parts.weights, whole=by_user)
            hazards.guard(parts.model, [info.name for info in parts.model.graph.input])
        else:
            source = str(self.model) if isinstance(self.model, Path) else self.model
        if not isinstance(self.model, (str, Path)) and not by_user:
            hazards.check_external(outlined, weights)
        return ort.open_session(
            source,
            outlined,
            weights=weights,
            threads=threads,
            spinning=spinning,
            why=why,
            wishes=wishes,
        )

    def _found(self) -> object:
        if isinstance(self.model, onnx.ModelProto):
            return fingerprint(self.model)
        if isinstance(self.model, bytes):
            return len(self.model)
        try:
            status = Path(self.model).stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns


class OrtFile(Source):
    """A model in the format of ONNX Runtime, which nobody else reads.

    Args:
        model: a file or its bytes.
        wishes: how ONNX Runtime is to open it for its user.
    """

    def __init__(self, model: str | bytes, wishes: ort.Wishes) -> None:
        self.model = model
        self.wishes = replace(wishes, reason="it is in the format of ONNX Runtime")
        self.nodes, self.fed = [], []

    def open(self, threads: int | None, spinning: ort.Spinning, why: str) -> Any:
        """A session of ONNX Runtime; see `ort.open_session`."""
        nothing = onnx.ModelProto()
        return ort.open_session(
            self.model, nothing, threads=threads, spinning=spinning, why=why, wishes=self.wishes
        )


def _is_too_large(model: object) -> bool:
    """Whether a message is larger than protocol buffers write."""
    return isinstance(model, onnx.ModelProto) and model.ByteSize() > _LARGEST_MESSAGE


class WholeModel:
    """A model in one session of ONNX Runtime.

    Args:
        source: the model.
        reason: why it is left to ONNX Runtime.
        threads: how many a run uses; by default as many as ONNX Runtime itself would take.
        spinning: of its threads.

    Raises:
        ModelError: if ONNX Runtime is not installed, or refuses the model.
    """

    def __init__(
        self,
        source: Source,
        reason: str,
        threads: int | None = None,
        spinning: ort.Spinning = "default",
    ) -> None:
        self.reason = reason
        self.nodes = source.nodes
        why = f"the model needs ONNX Runtime ({reason})"
        self.session = source.open(threads, spinning, why)
        self.inputs = _ports(self.session.get_inputs())
        self.outputs = _ports(self.session.get_outputs())
        self.defaults = _ports(self.session.get_overridable_initializers())

    def run(
        self, names: Sequence[str] | None, feeds: Mapping[str, Any], options: Any = None
    ) -> list[Any]:
        """Run the model; arguments as ONNX Runtime takes them, arrays in other forms as well.

        Raises:
            DataError: if an input is missing, unknown, or of another type or shape.
            OptionError: if there is no output of a name.
            ModelError: if ONNX Runtime cannot run the model on them.
        """
        feeding.check_mapping(feeds)
        if any(feeding.is_foreign(given) for given in feeds.values()):
            # ONNX Runtime takes their bytes as they are.
            feeds = self._arrays(feeds)
        try:
            return list(self.session.run(names, feeds, options))
        except Exception as error:
            feeding.check_names(names, [port.name for port in self.outputs])
            self._check_inputs(feeds)
            arrays = self._arrays(feeds)
            if all(arrays[name] is feeds[name] for name in feeds):
                raise ort.failed("could not run the model", error) from error
        try:
            return list(self.session.run(names, arrays, options))
        except Exception as error:
            raise ort.failed("could not run the model", error) from error

    def _check_inputs(self, feeds: Mapping[str, Any]) -> None:
        known = [port.name for port in self.inputs]
        for name in feeds:
            if name not in known and name not in [port.name for port in self.defaults]:
                raise DataError(f"no input {name!r}; the inputs are {', '.join(known)}")
        for port in self.inputs:
            if port.name not in feeds and not port.type.startswith("optional("):
                raise DataError(
                    f"input {port.name!r} is missing; give {port.type} of shape {port.shape}"
                )

    def _arrays(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The feeds, tensors as arrays of the types and shapes that the model states."""
        arrays = dict(feeds)
        for port in (*self.inputs, *self.defaults):
            if port.name not in feeds or not port.is_tensor:
                continue
            dtype = _dtype(port)
            array = feeding.as_array(port.name, feeds[port.name], dtype)
            if dtype is not None:
                array = feeding.of_type(port.name, array, dtype)
            if port.shape:
                feeding.match(port.name, port.shape, array, {})
            arrays[port.name] = feeding.contiguous(port.name, array)
        return arrays

    def seconds(self, feeds: Mapping[str, Any]) -> float:
        """The median seconds of some runs."""
        taken = []
        for _ in range(_WALKS + 1):
            begin = time.perf_counter()
            self.run(None, feeds)
            taken.append(time.perf_counter() - begin)
        return float(np.median(taken[1:]))


def _dtype(port: Port) -> np.dtype[Any] | None:
    """The type of a tensor's elements, None for one that NumPy lacks."""
    name = port.type[len("tensor(") : -1]
    try:
        found: np.dtype[Any] = np.dtype(_DTYPES.get(name, name))
    except TypeError:
        return None
    return found


def _ports(found: Sequence[Any]) -> list[Port]:
    return [Port(port.name, list(port.shape), port.type) for port in found]
