"""Outputs that cannot be written are refused in one message, before anything else is looked at."""

import os
from pathlib import Path

import pytest

from vlkd_steps.cli import bench, claims, command, export, leaderboard, score, shift, show, track

VCR = ["vcr", "--rule", "plural", "--annotations", "no.jsonl"]
CALLS = {
    "bench": (bench.main, ["gpu", "--device", "cpu", "--tiny", "--out"], "gpu.json"),
    "claims": (claims.main, ["--write"], "claims.md"),
    "export": (export.main, ["runs/x", "--out"], ""),
    "leaderboard": (leaderboard.main, ["runs/x", "--out"], "x.csv"),
    "score": (score.main, ["vcr", "--annotations", "no.jsonl", "--predictions", "no.csv", "--out"], "m.json"),
    "shift vcr": (shift.main, [*VCR, "--out"], "val.jsonl"),
    "shift vcr, scores": (shift.main, [*VCR, "--out", "o.jsonl", "--scores-out"], "scores.jsonl"),
    "shift snli_ve": (shift.main, ["snli_ve", "--rule", "biased", "--annotations", "no.jsonl", "--out"], "o.jsonl"),
    "shift vqa": (
        shift.main,
        ["vqa", "--rule", "changing_priors", "--questions", "q", "--annotations", "a", "--out"],
        "cp",
    ),
    "show": (show.main, ["scenes_vqa", "--html"], "page.html"),
    "track": (track.main, ["x", "--log"], "track.log"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_file_on_the_way_and_a_name_that_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    main, arguments, last = CALLS[name]
    for out, why in ((f"file/in/{last}", "is a file, no folder"), (f"{'x' * 300}/{last}", "too long")):
        assert main([*arguments, out]) == 2
        said = capsys.readouterr().err
        assert f"{arguments[-1]} {Path(out)}: cannot be written (" in said
        assert why in said
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folders_files_and_what_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for fine in (tmp_path / "file", tmp_path / "new" / "file"):
        command.check_output(fine, "--out")
    for fine in (tmp_path, tmp_path / "new" / "folder"):
        command.check_output(fine, "--out", folder=True)
    command.check_output(None, "--out")
    with pytest.raises(command.UserError, match="is a folder; give the path of a file"):
        command.check_output(tmp_path, "--out")
    with pytest.raises(command.UserError, match="file is a file, no folder"):
        command.check_output(tmp_path / "file", "--out", folder=True)
    with pytest.raises(command.UserError, match="--out / is the root"):
        command.check_output(Path("/"), "--out", folder=True)
    monkeypatch.setattr(command.files, "writable", lambda path: path != tmp_path)
    with pytest.raises(command.UserError, match="you may not write into"):
        command.check_output(tmp_path / "new" / "file", "--out")


def test_what_a_file_would_replace_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe.json").symlink_to("pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    for special in (
        tmp_path / "pipe",
        tmp_path / "pipe.json",
        Path("/dev/null"),
        Path("/dev/stdout"),
        Path("/dev/fd/1"),
    ):
        with pytest.raises(command.UserError, match="is a device or a pipe"):
            command.check_output(special, "--out")
    command.check_output(tmp_path / "link", "--out")
