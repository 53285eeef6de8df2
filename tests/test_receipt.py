import json
from pathlib import Path

import pytest

from vlkd_steps import receipt
from vlkd_steps.files import sha256


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    raw = Path("data/raw/mine")
    raw.mkdir(parents=True)
    (raw / "questions.json").write_text("[1]")
    manifest = raw / "manifest.json"
    manifest.write_text(json.dumps({"files": {"questions.json": sha256(raw / "questions.json")}}))
    path = Path("receipts/e/download.json")
    receipt.write(path, [manifest])
    return path


def test_untouched_files_pass(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert receipt.main(["check", str(made), "data/raw/mine"]) == 0
    assert "2 files" in capsys.readouterr().err


def test_a_file_named_only_by_a_manifest_is_checked_too(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/raw/mine/questions.json").write_text("[2]")
    assert receipt.main(["check", str(made), "data/raw/mine"]) == 2
    message = capsys.readouterr().err
    assert "data/raw/mine/questions.json was changed after it was made" in message
    assert "dvc checkout" in message


def test_a_missing_file_is_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/raw/mine/questions.json").unlink()
    assert receipt.main(["check", str(made), "data/raw/mine"]) == 2
    assert "data/raw/mine/questions.json is missing" in capsys.readouterr().err


def test_a_folder_the_receipt_does_not_know(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert receipt.main(["check", str(made), "data/raw/other"]) == 2
    assert "names nothing below data/raw/other" in capsys.readouterr().err


def test_no_receipt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert receipt.main(["check", str(tmp_path / "none.json"), "x"]) == 2
    assert "run: snakemake" in capsys.readouterr().err
