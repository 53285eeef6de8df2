"""The examples of docs/score.md, run literally, and what all tasks of `score` share."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vlkd_steps.cli import score


@pytest.fixture
def document(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The document; its files are in the current folder."""
    text = (root / "docs" / "score.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name, content in re.findall(r"^`([\w.]+)`:\n\n```(?:json|csv)\n(.*?)```", text, re.M | re.S):
        Path(name).write_text(content, encoding="utf-8")
    return text


def shown(text: str, task: str) -> tuple[list[str], str]:
    """The arguments of the document's command for a task, and what the document says it prints."""
    [(command, output)] = re.findall(rf"^\$ vlkd score ({task} .*?)\n(.*?)```", text, re.M | re.S)
    return shlex.split(command), output


@pytest.mark.parametrize("task", ["vqa", "vcr", "snli_ve"])
def test_the_document_shows_what_is_printed(document: str, task: str, capsys: pytest.CaptureFixture) -> None:
    arguments, output = shown(document, task)
    assert score.main(arguments) == 0
    assert capsys.readouterr().out == output


def test_captions_of_the_document_without_java(
    document: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    arguments, output = shown(document, "captions")
    assert score.main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in output.splitlines() if not re.search("METEOR|SPICE", line) and line not in printed] == []
    assert "METEOR left out: it needs Java, and there is no java on the PATH" in printed
    assert any(line.startswith("tokenizer: Python stand-in for PTBTokenizer") for line in printed)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java")
@pytest.mark.exhaustive  # tests/metrics/test_captioning.py runs METEOR
def test_captions_of_the_document_with_java(document: str, capsys: pytest.CaptureFixture) -> None:
    arguments, output = shown(document, "captions")
    assert score.main(arguments) == 0
    printed, expected = capsys.readouterr().out.splitlines(), output.splitlines()
    assert [line for line in printed if "SPICE" not in line] == [line for line in expected if "SPICE" not in line]


def test_the_message_that_the_document_shows(document: str, capsys: pytest.CaptureFixture) -> None:
    Path("results.json").write_text('[{"question_id": 1, "answer": "2"}]')
    arguments, _ = shown(document, "vqa")
    assert score.main(arguments) == 2
    message = capsys.readouterr().err
    assert message in document
    assert not Path("vqa.json").exists()


def test_the_file_holds_everything_and_equal_inputs_give_equal_bytes(document: str, root: Path) -> None:
    arguments, _ = shown(document, "vqa")
    assert score.main(arguments) == 0
    first = Path("vqa.json").read_bytes()
    found = json.loads(first)
    assert {key: found[key] for key in found if key != "inputs"} == {
        "task": "vqa",
        "overall": 95.0,
        "per_question_type": {"how many": 90.0, "is it": 100.0},
        "per_answer_type": {"number": 90.0, "yes/no": 100.0},
        "per_question": {"1": 90.0, "2": 100.0},
        "questions": 2,
    }
    assert sorted(found["inputs"]) == ["annotations", "questions", "results"]
    command = [sys.executable, "-m", "vlkd_steps.cli.score", *arguments]
    subprocess.run(command, env={"PYTHONPATH": str(root), "PYTHONHASHSEED": "7", "PATH": ""}, check=True)
    assert Path("vqa.json").read_bytes() == first


def test_accuracies_of_questions_without_a_file_to_write_them_to_are_refused(capsys: pytest.CaptureFixture) -> None:
    assert score.main(["vqa", "--annotations", "a.json", "--results", "r.json", "--per-question"]) == 2
    assert "--per-question is written to --out alone; name a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--results", "nowhere.json"], "--results nowhere.json: there is no such file"),
        (["--results", "."], "--results .: is no regular file"),
        (["--out", "results.json"], "--out results.json is the file of --results, which it would overwrite"),
        (["--out", "."], "--out . is a folder"),
        (["--out", "results.json/m.json"], "--out results.json/m.json: cannot be written"),
    ],
)
def test_paths_that_cannot_be_used(
    document: str, change: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    arguments, _ = shown(document, "vqa")
    before = Path("results.json").read_bytes()
    assert score.main([*arguments, *change]) == 2
    assert message in capsys.readouterr().err
    assert Path("results.json").read_bytes() == before


def test_a_pipe_is_no_regular_file(document: str, capsys: pytest.CaptureFixture) -> None:
    arguments, _ = shown(document, "vqa")
    os.mkfifo("pipe")
    assert score.main([*arguments, "--results", "pipe"]) == 2
    assert "--results pipe: is no regular file" in capsys.readouterr().err


def test_scoring_answers_imports_nothing_heavy(document: str, root: Path) -> None:
    arguments, _ = shown(document, "vqa")
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); from vlkd_steps.cli import score\n"
        f"assert score.main({arguments}) == 0\n"
        "print(sorted({'torch', 'transformers', 'pycocoevalcap', 'sklearn', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
