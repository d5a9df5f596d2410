"""The command line: results on stdout, one clear line and exit code 2 on bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import gossamer
from gossamer.cli import main
from gossamer.formats import save


class Ran:
    """What a command line printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def document(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: object) -> Ran:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(int(stop.value.code or 0), captured.out, captured.err)

    return command


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A file with evaluation functions: one constant, one raising, one NaN, one slow to fall."""
    path = tmp_path / "task.py"
    path.write_text(
        "import numpy as np\n"
        "X = np.random.default_rng(2).standard_normal((50, 64)).astype(np.float32)\n"
        "def agreement(session):\n"
        "    y = session.run(None, {'x': X})[0]\n"
        "    return (y.argmax(axis=1) >= 0).astype(float)\n"
        "def broken(session):\n"
        "    raise ValueError('no labels')\n"
        "def nan(session):\n"
        "    return float('nan')\n"
        "def batches():\n"
        "    yield {'x': X}\n"
    )
    return path


def refused(ran: Ran, *words: str) -> None:
    """Check for exit code 2, nothing on stdout, and one line of error that holds the words."""
    assert ran.code == 2
    assert ran.out == ""
    # What the work said of its stages before comes with minutes and seconds.
    lines = [line for line in ran.err.strip().splitlines() if not line.startswith("[")]
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("gossamer: ")
    for word in words:
        assert word in lines[0]


# Results


def test_version(run: Any) -> None:
    assert run("--version").out == f"gossamer {gossamer.__version__}\n"


def test_inspect_prints_a_table_and_json(run: Any, small_onnx: Path) -> None:
    assert "hidden_layer" in run("inspect", small_onnx).out
    document = run("inspect", small_onnx, "--json").document
    assert [layer["name"] for layer in document["layers"]] == ["hidden_layer", "output_layer"]


def test_explain_says_how_each_node_runs(run: Any, small_onnx: Path, small_data: Path) -> None:
    options = ("--inputs", small_data, "--batch", 4, "--threads", 1)
    document = run("explain", small_onnx, *options, "--json").document
    assert document["inputs"] == {"x": [4, 64]} and document["threads"] == 1
    assert sum(node["share"] or 0 for node in document["nodes"]) == pytest.approx(1)
    layer = next(node for node in document["nodes"] if node["name"] == "hidden_layer")
    assert layer["kernel"] == "dense linear" and layer["seconds"] > 0
    assert "hidden_layer" in run("explain", small_onnx, *options).out


@pytest.mark.usefixtures("memory_unmeasured")
def test_a_modules_layers_are_called_alike_by_every_verb(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    # Names are looked at, and no figures.
    monkeypatch.setattr("gossamer.verbs.advise._MOST_SECONDS", 0.1)
    (tmp_path / "model.py").write_text(
        "from torch import nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))\n"
    )
    np.savez(tmp_path / "data.npz", input=np.eye(8, dtype=np.float32))
    model, inputs = f"{tmp_path / 'model.py'}:net", ("--inputs", tmp_path / "data.npz")
    inspected = run("inspect", model, *inputs, "--json").document["layers"]
    advised = run("advise", model, *inputs, "--sparsity", 0.9, "--seconds", 0, "--json").document[
        "layers"
    ]
    explained = run("explain", model, *inputs, "--json").document["nodes"]
    assert [layer["name"] for layer in inspected] == ["0", "2"]
    assert [layer["name"] for layer in advised] == ["0", "2"]
    assert {"0", "2"} <= {node["name"] for node in explained}


def test_advise_times_what_is_asked_for(
    run: Any, small_onnx: Path, small_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("gossamer.verbs.advise._MOST_SECONDS", 2.0)
    ran = run(
        "advise", small_onnx, "--inputs", small_data, "--batch", 8, "--threads", 1,
        "--sparsity", 0.9, "--pattern", "block:4x1", "--seconds", 0.1, "--json",
    )  # fmt: skip
    (sparse,) = ran.document["sparse"]
    assert (sparse["pattern"], sparse["sparsity"]) == ("block:4x1", 0.9)
    assert ran.document["inputs"] == {"x": [8, 64]}
    assert [layer["name"] for layer in ran.document["layers"]] == ["hidden_layer", "output_layer"]


def test_sparsify_writes_a_folder_that_runs(
    run: Any, small_onnx: Path, small_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "deep" / "sparse"
    ran = run(
        "sparsify", small_onnx, "--calibration", small_data, "--sparsity", 0.75, "--out", out,
        "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.document["sparsity"] == pytest.approx(0.75, abs=0.01)
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "model.gossamer.safetensors",
        "model.onnx",
        "result.json",
    ]
    assert json.loads((out / "result.json").read_text())["solver"] == "admm"
    x = np.load(small_data)["x"]
    outputs = [
        gossamer.compile(out / name, threads=1).run(None, {"x": x})[0]
        for name in ("model.onnx", "model.gossamer.safetensors")
    ]
    np.testing.assert_array_equal(*outputs)


def test_sparsify_searches_within_a_drop(
    run: Any, small_onnx: Path, small_data: Path, task: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    ran = run(
        "sparsify", small_onnx, "--calibration", small_data, "--solver", "magnitude",
        "--evaluate", f"{task}:agreement", "--final-evaluate", f"{task}:agreement",
        "--max-drop", 0.01, "--allocation", "uniform", "--out", tmp_path / "sparse",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    # This evaluation never falls, so the search ends at its highest sparsity.
    assert "99.0 %" in ran.out
    assert "measured on unseen data" in " ".join(ran.out.split())


def test_sparsify_in_blocks(run: Any, small_onnx: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    options = ("--solver", "magnitude", "--sparsity", 0.75, "--pattern", "block:4x1", "--json")
    ran = run("sparsify", small_onnx, "--out", tmp_path / "sparse", *options)
    assert ran.code == 0, ran.err
    assert ran.document["pattern"] == "block:4x1"
    assert ran.document["sparsity"] == pytest.approx(0.75, abs=0.01)


def test_sparsify_to_a_budget_goes_on_in_its_folder(
    run: Any, small_onnx: Path, small_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    folder = tmp_path / "job"
    options = (
        "--calibration", small_data, "--budget", 0.6, "--objective", "bytes", "--folder", folder,
        "--pattern", "unstructured", "--pattern", "block:4x1",
    )  # fmt: skip
    ran = run("sparsify", small_onnx, "--out", tmp_path / "one", *options, "--json")
    assert ran.code == 0, ran.err
    assert ran.document["cost"] <= 0.6 and ran.document["allocation"] == "cost"
    assert ran.document["pattern"] == "unstructured, block:4x1"
    solved = {file.name: file.stat().st_mtime_ns for file in (folder / "database").iterdir()}
    again = run("sparsify", small_onnx, "--out", tmp_path / "two", *options)
    assert again.code == 0, again.err
    assert {
        file.name: file.stat().st_mtime_ns for file in (folder / "database").iterdir()
    } == solved
    assert "of the bytes of the dense model remains" in " ".join(again.out.split())
    other = sparsify(run, small_onnx, tmp_path / "out", *options, "--solver", "wanda")
    refused(other, "another job: its solver differ", "choose a new folder")


def test_a_budget_that_cannot_be_met_names_the_nearest_that_can(
    run: Any, small_onnx: Path, small_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    ran = run(
        "sparsify", small_onnx, "--calibration", small_data, "--budget", 0.01,
        "--objective", "sparsity", "--out", tmp_path / "out",
    )  # fmt: skip
    refused(ran, "cannot be met", "give --budget 0.051 or more")


def test_compare_measures_three_in_turn_and_scores(
    run: Any, small_onnx: Path, small_data: Path, task: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    sparse = tmp_path / "small.gossamer.safetensors"
    save(onnx.load(small_onnx), sparse)
    document = run(
        "compare", small_onnx, sparse, "--inputs", small_data, "--batch", 4, "--threads", 1,
        "--min-time", 0.2, "--max-time", 0.2, "--no-rivals", "--country", "DE", "--price", 0.3,
        "--watts-per-core", 3, "--evaluate", f"{task}:agreement", "--json",
    ).document  # fmt: skip
    assert [candidate["engine"] for candidate in document["candidates"]] == [
        "onnxruntime",
        "gossamer",
        "gossamer",
    ]
    assert document["inputs"] == [{"x": [4, 64]}]
    assert document["scores"]["drop"] == 0
    assert document["candidates"][2]["max_relative_difference"] < 1e-4
    assert "3 W per core (as given)" in document["candidates"][0]["energy"]["method"]
    assert document["candidates"][0]["per_million"]["grams"] > 0


@pytest.mark.usefixtures("memory_unmeasured")
def test_compare_writes_a_report_and_a_model_card(
    run: Any, small_onnx: Path, small_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("vl_convert")
    out = tmp_path / "out"
    done = run("sparsify", small_onnx, "--sparsity", 0.9, "--solver", "magnitude", "--out", out)
    assert done.code == 0, done.err
    ran = run(
        "compare", small_onnx, out, "--inputs", small_data, "--threads", 1, "--max-time", 0.2,
        "--min-time", 0, "--no-rivals", "--country", "DE", "--report", tmp_path / "report.html",
        "--card", tmp_path / "card.md",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "Sparsifying took" in ran.out
    assert "report.html" in ran.out
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "co2_eq_emissions" in (tmp_path / "card.md").read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_is_known_before_the_measuring(
    run: Any, small_onnx: Path, small_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("vl_convert")
    ran = run(
        "compare",
        small_onnx,
        small_onnx,
        "--inputs",
        small_data,
        "--report",
        tmp_path / "no/r.html",
    )
    refused(ran, "does not exist; make it")


def test_meters_says_what_this_machine_can_measure(run: Any) -> None:
    found = run("meters", "--json").document
    assert [meter["name"] for meter in found["meters"]] == ["RAPL", "NVML", "CPU time"]
    assert found["meters"][-1]["works"]
    assert "goes by" in run("meters", "--watts-per-core", 3).out
    assert run("meters", "--idle", 0.1, "--json").document["meters"][-1]["idle_watts"] >= 0


def test_data_may_come_from_a_function(run: Any, small_onnx: Path, task: Path) -> None:
    document = run("inspect", small_onnx, "--inputs", f"{task}:batches", "--json").document
    assert document["inputs"] == {"x": [1, 64]}


def test_export_writes_another_form(run: Any, small_onnx: Path, tmp_path: Path) -> None:
    ran = run("export", small_onnx, "--to", "sparse", "--out", tmp_path / "out", "--json")
    assert ran.document["files"] == ["model.gossamer.safetensors"]
    ran = run("export", tmp_path / "out", "--to", "onnx", "--out", tmp_path / "m.onnx")
    assert "m.onnx" in ran.out and onnx.load(tmp_path / "m.onnx").graph.node
    refused(run("export", small_onnx, "--to", "hf", "--out", tmp_path / "hf"), "no Hugging Face")


def test_recover_writes_a_folder_that_runs(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "models.py").write_text(
        "import torch\n"
        "def dense():\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Linear(16, 4))\n"
        "def sparse():\n"
        "    model = dense()\n"
        "    model[0].weight.data[::2] = 0\n"
        "    return model\n"
        "def one(model):\n"
        "    return 1.0\n"
    )
    data = npz(tmp_path / "data.npz", input=np.ones((8, 8), np.float32))
    models = (f"{tmp_path}/models.py:sparse", f"{tmp_path}/models.py:dense")
    options = ("--data", data, "--steps", 2, "--batch-size", 4, "--max-cpu-minutes", 1)
    ran = run(
        "recover", *models, *options, "--out", tmp_path / "out", "--loss", "values=0.5",
        "--evaluate", f"{tmp_path}/models.py:one", "--folder", tmp_path / "kept", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.document["losses"] == {"values": 0.5} and ran.document["steps"] == 2
    assert ran.document["after"]["sparse"] == 1
    assert run("inspect", tmp_path / "out", "--json").document["zeros"] >= 64
    ran = run("recover", *models, *options, "--out", tmp_path / "two")
    assert "was kept" in ran.out and "Written to" in ran.out
    refused(
        run("recover", *models, *options, "--out", tmp_path / "three", "--loss", "values"),
        "'values' is no term and weight",
    )
    refused(run("recover", *models, *options, "--out", tmp_path / "out"), "exists already")


# Bad input


def test_a_missing_model(run: Any, tmp_path: Path) -> None:
    refused(run("inspect", tmp_path / "gone.onnx"), "gone.onnx does not exist")
    refused(run("inspect", tmp_path / "gone.gossamer.safetensors"), "does not exist")
    refused(run("inspect", tmp_path / "gone"), "gone does not exist")
    refused(run("inspect", f"{tmp_path}/gone.py:model"), "gone.py does not exist")


def test_a_model_that_is_not_onnx(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("not a model")
    refused(run("inspect", path), "text.onnx is not an ONNX model")


@pytest.mark.parametrize("damage", ["truncated", "tampered"])
def test_a_damaged_sparse_file(run: Any, small_onnx: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "small.gossamer.safetensors"
    save(onnx.load(small_onnx), path)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    else:
        at = content.index(b'"shape":[')
        content[at + 9] = ord("7") if content[at + 9] != ord("7") else ord("8")
    path.write_bytes(content)
    refused(run("inspect", path), "small.gossamer.safetensors", "copy it again")


def sparsify(run: Any, model: Path, out: Path, *options: object) -> Ran:
    ran: Ran = run("sparsify", model, "--out", out, *options)
    assert not out.exists(), "a refused run must leave nothing"
    assert not list(out.parent.glob(f".{out.name}*")), "nor anything half-written"
    return ran


def test_a_nan_weight(run: Any, small_onnx: Path, small_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model = onnx.load(small_onnx)
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[3, 5] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "first"))
    onnx.save(model, small_onnx)
    ran = sparsify(
        run, small_onnx, tmp_path / "out", "--calibration", small_data, "--sparsity", 0.5
    )
    refused(ran, "hidden_layer", "NaN")


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_calibration_data_that_does_not_fit(run: Any, small_onnx: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "out"
    half = ("--sparsity", 0.5)
    empty = npz(tmp_path / "empty.npz", x=np.zeros((0, 64), np.float32))
    refused(sparsify(run, small_onnx, out, "--calibration", empty, *half), "empty")
    name = npz(tmp_path / "name.npz", pixels=np.zeros((4, 64), np.float32))
    refused(sparsify(run, small_onnx, out, "--calibration", name, *half), "'pixels'", "x")
    shape = npz(tmp_path / "shape.npz", x=np.zeros((4, 63), np.float32))
    refused(sparsify(run, small_onnx, out, "--calibration", shape, *half), "(4, 63)", "64")
    gone = tmp_path / "gone.npz"
    refused(sparsify(run, small_onnx, out, "--calibration", gone, *half), "gone.npz does not")
    refused(sparsify(run, small_onnx, out, *half), "calibration data")


def test_an_evaluation_that_fails(
    run: Any, small_onnx: Path, small_data: Path, task: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    given = ("--calibration", small_data, "--max-drop", 0.01)
    out = tmp_path / "out"
    ran = sparsify(run, small_onnx, out, *given, "--evaluate", f"{task}:broken")
    assert (ran.code, ran.out) == (2, "")
    line, *below = [one for one in ran.err.strip().splitlines() if not one.startswith("[")]
    assert "gossamer: evaluate failed: ValueError: no labels at task.py:7; it is called" in line
    # Of the traceback, the user's part.
    assert below == [
        "Traceback (most recent call last):",
        f'  File "{task}", line 7, in broken',
        "    raise ValueError('no labels')",
        "ValueError: no labels",
    ]
    ran = sparsify(run, small_onnx, out, *given, "--evaluate", f"{task}:nan")
    refused(ran, "evaluate returned NaN")
    ran = sparsify(run, small_onnx, out, *given, "--evaluate", f"{task}:missing")
    refused(ran, "no function 'missing'")


@pytest.mark.parametrize("sparsity", [-0.1, 1.5, "nan"])
def test_a_sparsity_out_of_range(
    run: Any, small_onnx: Path, small_data: Path, tmp_path: Path, sparsity: object
) -> None:
    pytest.importorskip("torch")
    ran = sparsify(
        run, small_onnx, tmp_path / "out", "--calibration", small_data, "--sparsity", sparsity
    )
    refused(ran, "sparsity", "0 to 1")


def test_neither_a_sparsity_nor_a_drop(
    run: Any, small_onnx: Path, small_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    ran = sparsify(run, small_onnx, tmp_path / "out", "--calibration", small_data)
    refused(ran, "--sparsity", "--max-drop")


def test_an_output_that_cannot_be_written(
    run: Any, small_onnx: Path, small_data: Path, tmp_path: Path
) -> None:
    given = ("--calibration", small_data, "--sparsity", 0.5)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("years of work")
    refused(run("sparsify", small_onnx, "--out", taken, *given), "taken exists already")
    assert (taken / "thesis.txt").read_text() == "years of work"
    file = tmp_path / "file"
    file.write_text("")
    refused(run("sparsify", small_onnx, "--out", file / "out", *given), "cannot write")


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(
    run: Any, small_onnx: Path, small_data: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    ran = run(
        "sparsify", small_onnx, "--out", locked / "out", "--calibration", small_data,
        "--sparsity", 0.5,
    )  # fmt: skip
    refused(ran, "cannot write")


def test_too_few_samples_for_a_batch(run: Any, small_onnx: Path, small_data: Path) -> None:
    ran = run("compare", small_onnx, small_onnx, "--inputs", small_data, "--batch", 65)
    refused(ran, "64 samples", "65")


def test_a_bug_shows_its_traceback(monkeypatch: pytest.MonkeyPatch, small_onnx: Path) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("gossamer.verbs.inspect.inspect", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["inspect", str(small_onnx)])


# Edge


@pytest.fixture
def edge_scenario(tmp_path: Path) -> Path:
    """The sample scenario, smaller."""
    pytest.importorskip("cvxpy")
    text = (Path(__file__).parents[1] / "examples" / "edge-scenario.yaml").read_text()
    small = text.replace("count: 4", "count: 2").replace("[0, 3, 6, 9, 12]", "[0]")
    path = tmp_path / "scenario.yaml"
    path.write_text(small, encoding="utf-8")
    return path


@pytest.fixture
def proof_file(tmp_path: Path) -> Path:
    """What `compare --json` prints, as far as it matters here."""
    candidates = [
        {
            "name": name,
            "energy": {
                "joules": {"median": joules, "low": joules, "high": joules},
                "kind": "measured",
                "method": "RAPL",
            },
        }
        for name, joules in (("dense", 0.2), ("sparse", 0.05))
    ]
    path = tmp_path / "proof.json"
    path.write_text(json.dumps({"candidates": candidates}), encoding="utf-8")
    return path


def test_edge_places_tasks(run: Any, edge_scenario: Path) -> None:
    ran = run("edge", edge_scenario, "--realisations", 1, "--processes", 1)
    assert ran.code == 0
    assert "At 6 dB the edge system takes" in ran.out


def test_edge_tells_what_the_sparse_model_saves(
    run: Any, edge_scenario: Path, proof_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--realisations", 1, "--processes", 1)
    ran = run("edge", edge_scenario, "--compare", proof_file, *options, "--out", out)
    assert ran.code == 0
    assert "With the sparse model the whole edge system saves" in ran.out
    assert (out / "power.png").exists() and (out / "map.png").exists()
    # Dense and sparse may have been compared apart.
    ran = run("edge", edge_scenario, "--compare", proof_file, proof_file, *options, "--json")
    assert ran.document["points"] == json.loads((out / "result.json").read_text())["points"]


@pytest.mark.parametrize(
    ("line", "changed", "says"),
    [
        ("power_limit_w: 1.0", "power_limit_w: -1", "power_limit_w is -1"),
        ("power_limit_w: 1.0", "power_limit_dbm: 30", "did you mean power_limit_w, in watts?"),
        ("seed: 0", "", "the scenario lacks seed"),
        ("sinr_target_db: 6 ", "sinr_target_db: [1, 2, 3]", "has 3 numbers for 2"),
        ("square_m: 400", "square_m: 90000", "lower sinr_target_db, raise power_limit_w"),
    ],
)
def test_edge_refuses_a_scenario_in_one_line(
    run: Any, edge_scenario: Path, line: str, changed: str, says: str
) -> None:
    edge_scenario.write_text(edge_scenario.read_text().replace(line, changed), encoding="utf-8")
    refused(run("edge", edge_scenario, "--realisations", 1, "--processes", 1), says)


def test_edge_needs_files_that_are_there(
    run: Any, edge_scenario: Path, proof_file: Path, tmp_path: Path
) -> None:
    refused(run("edge", tmp_path / "gone.yaml"), "gone.yaml cannot be read")
    refused(run("edge", edge_scenario, "--compare", edge_scenario), "cannot be read")
    refused(run("edge", edge_scenario, proof_file), "give --compare DENSE.json")
    refused(run("edge", edge_scenario, "--out", tmp_path), "exists already")


# The process


def test_the_exit_code_reaches_the_shell(tmp_path: Path) -> None:
    script = "import sys; from gossamer.cli import main; main(sys.argv[1:])"
    gone = str(tmp_path / "gone.onnx")
    done = subprocess.run(
        [sys.executable, "-c", script, "inspect", gone], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == f"gossamer: {gone} does not exist; check the path of the ONNX model\n"


def test_importing_gossamer_is_light() -> None:
    script = (
        "import sys, gossamer; heavy = {'torch', 'onnx', 'onnxruntime', 'transformers', 'rich', "
        "'sklearn', 'llvmlite', 'numpy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


STOPPED = """
import os, signal, sys, tempfile
from gossamer import files
from gossamer.cli import main
from gossamer.verbs import inspect as verb

def inspect(*arguments):
    with files.temporary_folder() as folder:
        (folder / "large").write_bytes(bytes(1000))
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")

verb.inspect = inspect
main(["inspect", "model.onnx"])
"""


def test_what_is_half_done_is_cleared_away_when_the_command_is_told_to_end(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", STOPPED], env=environment, capture_output=True)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert list(tmp_path.iterdir()) == []
