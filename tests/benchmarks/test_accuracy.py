"""The benchmark of accuracy: its metrics against SciPy and by hand, its table, a tiny model."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


@pytest.fixture(scope="module")
def scripts() -> Iterator[Any]:
    """The modules of the benchmark, which find their neighbours beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        names = ("", "_statistics", "_table", "_minilm", "_smollm", "_process")
        yield SimpleNamespace(
            **{name[1:] or "main": importlib.import_module(f"accuracy{name}") for name in names}
        )


@pytest.fixture
def embeddings() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Unit vectors, and the same with noise."""
    random = np.random.default_rng(1)
    first = random.standard_normal((30, 8))
    other = first + 0.4 * random.standard_normal(first.shape)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, other)]
    return unit[0].astype(np.float32), unit[1].astype(np.float32)


class TestSpearman:
    @pytest.mark.parametrize("levels", [7, 10**9])
    def test_is_scipys_on_the_sample_written_out(self, scripts: Any, levels: int) -> None:
        # With 7 levels there are ties.
        random = np.random.default_rng(0)
        first = random.integers(0, levels, 60).astype(float)
        other = first + random.integers(0, levels, 60)
        counts = random.integers(0, 4, 60)
        ranks = scripts.statistics.Ranks
        found = scripts.statistics.spearman(ranks(first), ranks(other), counts.astype(float))
        expected = stats.spearmanr(np.repeat(first, counts), np.repeat(other, counts)).statistic
        assert found == pytest.approx(expected, abs=1e-12)

    def test_loss_is_zero_for_the_dense_model_itself(self, scripts: Any, embeddings: Any) -> None:
        dense, _ = embeddings
        assert scripts.minilm.similarity_loss(dense, dense) == pytest.approx(0, abs=1e-12)

    def test_loss_is_one_less_scipys_over_all_pairs(self, scripts: Any, embeddings: Any) -> None:
        dense, sparse = embeddings
        rows, columns = np.triu_indices(len(dense), 1)
        both = [
            (x[rows].astype(np.float64) * x[columns].astype(np.float64)).sum(axis=1)
            for x in (dense, sparse)
        ]
        expected = 1 - stats.spearmanr(*both).statistic
        assert scripts.minilm.similarity_loss(dense, sparse) == pytest.approx(expected, abs=1e-9)

    def test_replicates_leave_out_pairs_of_a_document_with_itself(
        self, scripts: Any, embeddings: Any
    ) -> None:
        dense, sparse = embeddings
        counts = next(scripts.statistics.draws(len(dense)))
        drawn = np.repeat(np.arange(len(dense)), counts)
        pairs = [(i, j) for at, i in enumerate(drawn) for j in drawn[at + 1 :] if i != j]
        both = [[float(x[i] @ x[j]) for i, j in pairs] for x in (dense, sparse)]
        found = next(scripts.minilm.loss_replicates(dense, sparse))
        assert found == pytest.approx(1 - stats.spearmanr(*both).statistic, abs=1e-5)


class TestIntervals:
    def test_of_a_mean_is_as_wide_as_theory_says(self, scripts: Any) -> None:
        values = np.random.default_rng(0).standard_normal(400)
        means = [values @ counts / 400 for counts in scripts.statistics.draws(400)]
        low, high = scripts.statistics.interval(means)
        error = values.std() / np.sqrt(400)
        assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
        assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)

    def test_draws_are_the_same_for_every_method(self, scripts: Any) -> None:
        first, other = (list(scripts.statistics.draws(9, 3)) for _ in range(2))
        assert np.array_equal(first, other)
        assert [counts.sum() for counts in first] == [9, 9, 9]

    def test_a_ratio_is_taken_draw_by_draw(self, scripts: Any) -> None:
        theirs = [[1.0, 2.0, 4.0], [3.0, 2.0, 8.0]]
        ours = (np.array(theirs) / 2).tolist()
        assert scripts.statistics.ratio_interval(ours, theirs) == (0.5, 0.5)


class TestPerplexity:
    def test_of_known_odds(self, scripts: Any) -> None:
        class Model(torch.nn.Module):
            """Always gives the next token, which is this one, half of the probability."""

            def forward(self, input_ids: torch.Tensor) -> Any:
                logits = torch.zeros(*input_ids.shape, 5)
                # e^x / (e^x + 4) = 1 / 2
                return SimpleNamespace(
                    logits=logits.scatter(2, input_ids.unsqueeze(2), float(np.log(4)))
                )

        texts = np.array([[1, 1, 1, 1], [2, 2, 3, 3]])
        nats = scripts.smollm.losses(Model(), texts)
        # Of the second text one token of three is another: it had an eighth.
        assert nats == pytest.approx([np.log(2), (2 * np.log(2) + np.log(8)) / 3])
        assert scripts.smollm.perplexity(nats[:1]) == pytest.approx(2)
        assert scripts.smollm.perplexity(nats, np.array([3, 0])) == pytest.approx(2)
        assert scripts.smollm.perplexity(nats) == pytest.approx(2 ** ((1 + 5 / 3) / 2))

    def test_windows_are_cut_from_different_speeches(self, scripts: Any) -> None:
        speeches = [np.arange(600) + 1000 * number for number in range(5)] + [np.arange(9)]
        found = scripts.smollm.windows(speeches, 0, 4 * 512)
        assert found.shape == (4, 512)
        assert len({row[0] // 1000 for row in found}) == 4
        assert (np.diff(found, axis=1) == 1).all()

    def test_too_few_speeches_are_named(self, scripts: Any) -> None:
        with pytest.raises(SystemExit, match="512 to 512 tokens"):
            scripts.smollm.windows([np.arange(600)], 0, 1024)


def line(method: str, loss: float, seed: int = 0, **more: Any) -> dict[str, Any]:
    """One as the benchmark writes it."""
    return {
        "kind": "accuracy",
        "task": "smollm",
        "method": method,
        "pattern": "unstructured",
        "sparsity": 0.5,
        "seed": seed,
        "calibration_tokens": 8192,
        "loss": loss,
        "replicates": [share * loss for share in (0.9, 1.0, 1.1) for _ in range(100)],
        "perplexity": 30 + loss,
        "documents": 48,
        "seconds": 200.0 + seed,
        "cpu_seconds": 390.0,
        "peak_bytes": 2 * 10**9,
        "others_cpu": 0.0,
        "threads": 2,
        "version": "0.14.0.1",
        "environment": {
            "processor": "CPU",
            "platform": "Linux",
            "versions": {"gossamer": "0.1.0"},
        },
        **more,
    }


class TestTable:
    PEER = "llmcompressor-sparsegpt"

    def test_means_and_deviations_over_the_seeds(self, scripts: Any) -> None:
        rows = scripts.table.write([line("obs", 4.0), line("obs", 6.0, seed=1)])
        (row,) = (row for row in rows if "5.00 ± 1.41" in row)
        assert "`obs`" in row and "4.50 to 5.50" in row and "35.00 ± 1.41" in row

    @pytest.mark.parametrize(("loss", "verdict"), [(4.0, "reached"), (4.5, "**missed**")])
    def test_the_best_of_ours_is_held_against_the_peer(
        self, scripts: Any, loss: float, verdict: str
    ) -> None:
        lines = [line("obs", 9.0), line("admm", loss), line(self.PEER, 5.0)]
        rows = scripts.table.write(lines)
        (row,) = (row for row in rows if row.startswith("| 50 % |"))
        assert row.split(" | ")[1:4] == ["admm", "llm-compressor, SparseGPT", "0.8"]
        assert f"{loss / 5:.2f} (" in row and row.endswith(f"{verdict} |")

    def test_a_target_without_a_peer_is_not_claimed(self, scripts: Any) -> None:
        rows = scripts.table.write([line("obs", 1.0)])
        assert any("not measured" in row for row in rows)
        assert not any("reached |" in row for row in rows if row.startswith("| 50 %"))

    def test_other_patterns_have_no_target(self, scripts: Any) -> None:
        lines = [line(name, 1.0, pattern="block:4x1") for name in ("obs", self.PEER)]
        assert not any(row.startswith("| 50 %") for row in scripts.table.write(lines))

    def test_times_of_a_busy_machine_are_not_shown(self, scripts: Any) -> None:
        quiet, busy = line("obs", 1.0), line("wanda", 2.0, others_cpu=0.5)
        rows = scripts.table.write([quiet, busy])
        times = rows[next(at for at, row in enumerate(rows) if "solving all" in row) :]
        assert any(
            row.startswith("| `obs` | 200.0 | 390.0 | 2000 | 300 s | reached") for row in times
        )
        assert not any("wanda" in row for row in times)

    def test_the_limit_is_for_the_solver_that_loses_least(self, scripts: Any) -> None:
        best, other = line("obs", 1.0, others_cpu=0.5), line("wanda", 2.0)
        rows = scripts.table.write([best, other])
        (row,) = (row for row in rows if row.startswith("| `wanda` |"))
        assert not row.endswith("reached |")

    def test_a_task_without_losses_has_times_only(self, scripts: Any) -> None:
        bare = {key: value for key, value in line("obs", 0.0).items() if key != "loss"}
        rows = scripts.table.write([{**bare, "task": "bert", "seconds": 61.0}])
        assert "| `obs` | 61.0 | 390.0 | 2000 | 60 s | **missed** |" in rows
        assert not any("95 %" in row for row in rows)


class TestRuns:
    def options(self, scripts: Any, tmp_path: Path, *more: str) -> list[str]:
        base = ["--task", "minilm", "--sparsity", "0.6", "--out", str(tmp_path / "out.jsonl")]
        return [*base, *more]

    def runs(self, scripts: Any, **given: Any) -> list[Any]:
        asked = {
            "task": "minilm",
            "methods": ["magnitude", "obs", "torch-global", "llmcompressor-wanda"],
            "sparsity": [0.6, 0.7],
            "pattern": ["unstructured"],
            "seeds": 2,
            "calibration_tokens": 8192,
        }
        return list(scripts.main.runs(SimpleNamespace(**{**asked, **given})))

    def test_methods_without_calibration_run_once(self, scripts: Any) -> None:
        found = self.runs(scripts)
        count = {run.method: sum(other.method == run.method for other in found) for run in found}
        assert count == {
            "dense": 1,
            "magnitude": 2,
            "torch-global": 2,
            "obs": 4,
            "llmcompressor-wanda": 4,
        }

    def test_rivals_are_not_asked_for_patterns_they_lack(self, scripts: Any) -> None:
        found = self.runs(scripts, pattern=["block:4x1"], seeds=1)
        assert {run.method for run in found} == {"dense", "magnitude", "obs"}

    def test_n_of_m_has_its_own_sparsity(self, scripts: Any) -> None:
        assert scripts.main.sparsities("1:4", [0.6]) == [0.75]
        assert scripts.main.sparsities("block:4x1", [0.6]) == [0.6]

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (["--methods", "obz"], "unknown solver 'obz'"),
            (["--methods", "obs", "--pattern", "stripes"], "unknown pattern 'stripes'"),
            (["--methods", "llmcompressor-wanda"], "--llmcompressor-python"),
        ],
    )
    def test_unknown_names_are_refused_at_once(
        self,
        scripts: Any,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        more: list[str],
        said: str,
    ) -> None:
        with pytest.raises(SystemExit):
            scripts.main.main(self.options(scripts, tmp_path, *more))
        assert said in capsys.readouterr().err


class TinyTask:
    """A BERT of two layers and random weights; the loss is how far the weights moved."""

    name = "minilm"
    loader = "AutoModel"

    def __init__(self, folder: Path, data: Path | None = None) -> None:
        import transformers

        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=40,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
        )
        self.directory = folder / "tiny"
        transformers.BertModel(config).save_pretrained(self.directory)

    def load(self) -> torch.nn.Module:
        import transformers

        model: torch.nn.Module = transformers.AutoModel.from_pretrained(self.directory)
        return model.eval()

    def calibration(self, seed: int, tokens: int) -> dict[str, np.ndarray[Any, Any]]:
        ids = np.random.default_rng(seed).integers(0, 40, (tokens // 8, 8))
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    def score(self, model: torch.nn.Module) -> dict[str, Any]:
        pairs = zip(model.parameters(), self.load().parameters(), strict=True)
        moved = sum(float((one - other).detach().square().sum()) for one, other in pairs)
        return {"loss": moved, "replicates": [moved], "documents": 1}


def in_this_process(module: ModuleType) -> Any:
    """Run the process' code here: starting Python with torch takes seconds."""

    def run(python: str, job: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        said = io.StringIO()
        threads = torch.get_num_threads()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
            patch.setattr(sys, "argv", ["accuracy_process.py", json.dumps(job)])
            try:
                module.main()
            except Exception as error:
                return subprocess.CompletedProcess([], 1, "", f"Traceback\n{error}\n")
            finally:
                torch.set_num_threads(threads)
        return subprocess.CompletedProcess([], 0, said.getvalue(), "")

    return run


class TestEndToEnd:
    METHODS = ("magnitude", "obs", "torch-magnitude", "torch-global")

    def arguments(self, out: Path, *methods: str) -> list[str]:
        given = ["--task", "minilm", "--methods", *methods, "--sparsity", "0.5"]
        return [*given, "--calibration-tokens", "256", "--threads", "1", "--out", str(out)]

    @pytest.fixture
    def tiny(self, scripts: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(scripts.minilm, "Task", TinyTask)
        monkeypatch.setattr(scripts.main, "run_process", in_this_process(scripts.process))
        threads = torch.get_num_threads()
        yield scripts.main
        torch.set_num_threads(threads)

    def test_all_methods_reach_the_sparsity_on_the_same_layers(
        self, tiny: Any, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.jsonl"
        tiny.main(self.arguments(out, *self.METHODS))
        lines = {x["method"]: x for x in map(json.loads, out.read_text().splitlines())}
        assert list(lines) == ["dense", *self.METHODS]
        assert lines["dense"]["loss"] == lines["dense"]["measured_sparsity"] == 0
        for method in self.METHODS:
            assert lines[method]["measured_sparsity"] == pytest.approx(0.5, abs=0.01)
        # Two implementations of one thing.
        assert lines["magnitude"]["loss"] == pytest.approx(lines["torch-magnitude"]["loss"])
        assert lines["torch-global"]["loss"] < lines["torch-magnitude"]["loss"]

    def test_goes_on_after_a_line_that_was_cut_off(self, tiny: Any, tmp_path: Path) -> None:
        out = tmp_path / "out.jsonl"
        tiny.main(self.arguments(out, "magnitude"))
        whole = out.read_text()
        out.write_text(whole + '{"kind": "accu')
        tiny.main(self.arguments(out, "magnitude", "torch-global"))
        lines = out.read_text().splitlines()
        assert "\n".join(lines[:2]) + "\n" == whole
        assert [json.loads(x)["method"] for x in lines[2:]] == ["torch-global"]

    def test_a_method_that_fails_leaves_the_others_and_runs_again(
        self, tiny: Any, scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out.jsonl"

        def broken(name: str, job: dict[str, Any]) -> Any:
            raise RuntimeError("out of ideas")

        with monkeypatch.context() as patch:
            patch.setitem(scripts.process.FAMILIES, "torch", broken)
            tiny.main(self.arguments(out, "torch-global", "magnitude"))
        kinds = {x["method"]: x for x in map(json.loads, out.read_text().splitlines())}
        assert kinds["torch-global"]["kind"] == "failed"
        assert kinds["torch-global"]["error"] == "out of ideas"
        assert kinds["magnitude"]["kind"] == "accuracy"
        tiny.main(self.arguments(out, "torch-global", "magnitude"))
        again = json.loads(out.read_text().splitlines()[-1])
        assert (again["method"], again["kind"]) == ("torch-global", "accuracy")
