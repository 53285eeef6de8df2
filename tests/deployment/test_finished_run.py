"""A finished run answers single items as it did in evaluation, and refuses what it cannot answer in one message."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from vlkd_steps.cli import ask
from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.data import passages
from vlkd_steps.deployment import finished_run
from vlkd_steps.deployment.finished_run import Query
from vlkd_steps.students import bart, generation
from vlkd_steps.students.prompts import QUESTION, Prompt

IMAGE = Path("data/raw/toy/test0.png")


def test_answers_are_those_of_the_runs_predictions(run: Path) -> None:
    model = finished_run.load(run)
    shown = pl.read_parquet(layout.instances("toy")).join(
        pl.read_parquet(layout.predictions(run, "test")), on="instance_id", how="right"
    )
    for row in shown.iter_rows(named=True):
        best, *others = model.answers(Query(Path(row["image_path"]), row["text"]))
        assert best.text == row["answer"]
        assert best.probability == pytest.approx(row["probability"], abs=1e-5)
        assert len(others) == 3  # of four classes
        assert best.probability >= max(other.probability for other in others)


def test_the_command_prints_answers_and_probabilities(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert ask.main([str(run), "--image", str(IMAGE), "what color is the thing", "--best", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.split()[0].endswith("%") and line.split()[1] in ("red", "green", "blue", "grey") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--image", "{image}", "what"], "there is no run nowhere"),
        (["{seeds}", "--image", "{image}", "what"], "has 1 runs; name the folder of one seed"),
        (["{run}", "--image", "none.jpg", "what"], "the image none.jpg does not exist"),
        (["{run}", "--image", ".", "what"], "the image . is a folder"),
        (["{run}", "--image", "words.txt", "what"], "words.txt"),
        (["{run}", "--image", "{image}", " "], "the question is empty"),
        (["{run}", "--image", "{image}"], "the question is empty"),
        (["{run}", "--image", "{image}", "\udcff what"], "is not UTF-8"),
        (["{run}", "--image", "{image}", "what", "--choices", "a", "b"], "leave --choices out"),
        (["{run}", "--image", "{image}", "what", "--answer", "a"], "gives no rationale; leave --answer out"),
        (["{run}", "what"], "Missing option '--image'"),
    ],
)
def test_a_mistake_is_one_message(run: Path, capsys: pytest.CaptureFixture, arguments: list[str], message: str) -> None:
    names = {"run": run, "seeds": run.parent, "image": IMAGE}
    assert ask.main([argument.format(**names) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1 or "Usage" in said.err


def test_choices_are_read_as_those_of_vcr() -> None:
    def read(query: Query) -> list[list[str]]:
        found, rows = passages.of(finished_run.row(query, "image"))
        return [found.segments_of(row) for row in rows[0]]

    question = "why is person 1 here ?"
    assert read(Query(IMAGE, question, ("a", "b b"))) == [[question, "a"], [question, "b b"]]
    rationales = Query(IMAGE, question, ("a", "b b"), answer="to wait .")
    assert read(rationales) == [[question, "to wait .", "a"], [question, "to wait .", "b b"]]


@pytest.mark.parametrize("lost", ["config.yaml", "model.safetensors", "predictions/test.parquet"])
def test_an_unfinished_run_is_refused(run: Path, lost: str) -> None:
    (run / lost).unlink()
    with pytest.raises(UserError, match=r"finish"):
        finished_run.load(run)


def test_weights_that_were_changed_are_refused(run: Path) -> None:
    weights = run / "model.safetensors"
    content = bytearray(weights.read_bytes())
    weights.unlink()
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors is damaged, or was changed"):
        finished_run.load(run)


def test_probabilities_of_written_answers_are_those_of_their_tokens() -> None:
    size: dict[str, Any] = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 40}
    torch.manual_seed(0)
    student = bart.build({"name": "b", "vocabulary": "scenes", "architecture": size}, 8, seed=1).eval()
    prompt, v = Prompt.of(QUESTION), torch.nn.functional.normalize(torch.ones(1, 8), dim=1)
    (written,) = generation.write(student, v, prompt, ["what color is it"], beams=1, most_tokens=1)
    alone = generation.probabilities(student, v, prompt, "what color is it", [written])
    both = generation.probabilities(student, v, prompt, "what color is it", [written, "red and blue"])
    assert 0 < alone[0] < 1
    assert both[0] == pytest.approx(alone[0], rel=1e-4)  # padding of the longer one changes nothing
    assert both[1] < both[0]


def test_a_query_is_spaced_as_texts_of_data_sets_are(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = finished_run.load(run), []
    monkeypatch.setattr(model, "_check", lambda query: None)
    monkeypatch.setattr(model, "_answers", lambda query: asked.append(query) or [])
    model.answers(Query(IMAGE, " what\n color  ", (" a  b",), "c\t d"))
    assert asked == [Query(IMAGE, "what color", ("a b",), "c d")]
