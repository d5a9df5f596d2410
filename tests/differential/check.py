"""One model in Gossamer and in ONNX Runtime."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from differential import oracle
from differential.compare import differing, nearer
from differential.outcomes import AGREES, DIFFERS, LIMITED, RAISES, SKIPS_ZEROS
from gossamer.errors import DataError
from gossamer.runtime import compile

Array = NDArray[Any]

_LIMIT = "; the compiled model takes at "


def examine(
    model: onnx.ModelProto,
    worlds: Sequence[Mapping[str, Array]],
    wanted: Sequence[Sequence[Array]],
    engine: str = "gossamer",
    threads: int = 1,
) -> dict[str, Any]:
    """What came of a model: `outcome`, the reason, and the nodes left to ONNX Runtime."""
    found: dict[str, Any] = {"outcome": AGREES, "left": [], "limited": 0}
    try:
        session = compile(model.SerializeToString(), engine=engine, threads=threads)  # type: ignore[arg-type]
    except Exception as error:
        return found | _raised(error, "compiling")
    lines = session.explain()
    found["left"] = [line.name for line in lines if line.kernel == "ONNX Runtime"]
    found["reasons"] = sorted({f"{line.op}: {line.reason}" for line in lines if line.reason})
    has_zeros = any(line.sparsity for line in lines) or any(
        node.op_type in ("Resize", "Upsample") for node in model.graph.node
    )
    if session.engine == "onnxruntime":
        # As a session of the user's own: it believes stale notes, and fuses in 8 bits.
        users = oracle.session(model, optimized=True)
        wanted = [oracle.run(users, feeds) for feeds in worlds]
    narrow = any(array.dtype == np.float16 for array in _arrays(model, worlds))
    for world, (feeds, theirs) in enumerate(zip(worlds, wanted, strict=True)):
        try:
            ours = session.run(None, feeds)
        except DataError as error:
            if _LIMIT in str(error):
                found["limited"] += 1
                continue
            return found | _raised(error, f"world {world}")
        except Exception as error:
            return found | _raised(error, f"world {world}")
        reasons = differing(ours, theirs, narrow)
        if not reasons:
            continue
        exact = oracle.in_double(model, feeds)
        rest = {
            place: reason
            for place, reason in reasons.items()
            if place < 0 or exact is None or not nearer(ours[place], theirs[place], exact[place])
        }
        wide = (
            [] if exact is None else [a.astype(b.dtype) for a, b in zip(exact, theirs, strict=True)]
        )
        if (
            rest
            and has_zeros
            and any(_only_not_finite(ours, truth, rest) for truth in (theirs, wide) if truth)
        ):
            found["outcome"] = SKIPS_ZEROS
            continue
        if rest:
            place, reason = next(iter(rest.items()))
            name = model.graph.output[place].name if place >= 0 else ""
            return found | {
                "outcome": DIFFERS,
                "reason": f"output {name}: {reason}",
                "where": f"world {world}",
            }
    if found["limited"]:
        found["outcome"] = LIMITED
    session.close()
    return found


def _arrays(model: onnx.ModelProto, worlds: Sequence[Mapping[str, Array]]) -> Iterator[Array]:
    """What the model starts from, and what it casts to."""
    for feeds in worlds:
        yield from feeds.values()
    for tensor in model.graph.initializer:
        yield numpy_helper.to_array(tensor)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT16:
                yield np.zeros(0, np.float16)
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield numpy_helper.to_array(attribute.t)


def _only_not_finite(ours: Sequence[Array], truth: Sequence[Array], places: Any) -> bool:
    """Whether outputs differ only where others are NaN or infinite."""
    for place in places:
        a, b = ours[place], truth[place]
        if a.shape != b.shape or a.dtype != b.dtype or b.dtype.kind != "f":
            return False
        finite = np.isfinite(b)
        if not np.isfinite(a[finite]).all() or finite.all():
            return False
        if not np.allclose(a[finite], b[finite], rtol=1e-4, atol=1e-4):
            return False
    return True


def _raised(error: Exception, where: str) -> dict[str, Any]:
    frames = [
        f"{frame.filename.rsplit('gossamer/', 1)[-1]}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "gossamer/" in frame.filename and "differential" not in frame.filename
    ]
    return {
        "outcome": RAISES,
        "reason": f"{type(error).__name__}: {str(error)[:200]}",
        "where": f"{where}, {frames[-1] if frames else ''}",
    }
