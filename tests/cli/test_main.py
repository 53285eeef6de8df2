"""The command ``vlkd`` as a whole: its subcommands, its help, how mistakes end, and what it imports."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vlkd_steps.cli import main as cli
from vlkd_steps.cli import shift

HEAVY = ("torch", "transformers", "mlflow", "polars", "snakemake", "dvc", "rich", "yaml")


def vlkd(root: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "vlkd_steps", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def test_help_lists_every_subcommand_on_one_line(root: Path) -> None:
    done = vlkd(root, "--help")
    assert done.returncode == 0
    for name, (_, text) in cli.COMMANDS.items():
        assert any(line.split() == [name, *text.split()] for line in done.stdout.splitlines()), name


def test_the_document_lists_every_subcommand(root: Path) -> None:
    text = (root / "docs/cli.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `vlkd ([\w-]+)", text, re.M)) == cli.COMMANDS.keys()


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name != "verify"])
def test_every_subcommand_has_its_manual(name: str, capsys: pytest.CaptureFixture) -> None:
    assert cli.main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"vlkd {name}" in shown
    assert "Raises:" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Usage: vlkd [OPTIONS] COMMAND"),
        (["plam"], "plan"),
        (["plan", "--gpu", "c64"], "h100"),
        (["plan", "--core", "2"], "--cores"),
        (["table"], "Missing argument 'experiment'"),
        (["table", "--experiment"], "--experiment needs a name"),
        (["table", "--experiment=never_run"], "params.yaml is not in"),
        (["table", "never_run"], "params.yaml is not in"),
        (["score", "vqa", "--annotations", "a.json", "--results", "nowhere.json"], "--annotations a.json"),
        (["shift", "vcr", "--rule", "sideways", "--annotations", "a", "--out", "b"], "adv_top_1"),
        (["track"], "give an experiment, --rebuild or --upgrade"),
        (["track", "a", "--rebuild"], "--rebuild"),
        (["sync", "--all"], "--all"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(root: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = vlkd(root, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    for unwanted in ("Traceback", "─", "│"):
        assert unwanted not in done.stderr


def test_help_and_usage_errors_import_nothing_heavy(root: Path) -> None:
    code = (
        "import sys; from vlkd_steps.cli.main import main\n"
        f"for arguments in (['--help'], ['plam'], ['score', '--help']): main(arguments)\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_several_values_after_one_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["vqa", "--rule", "changing_priors", "--questions", "a.json", "b.json", "--annotations", "c.json", "d.json"]
    assert shift.main([*given, "--out", "folder"]) == 2
    assert "a.json" in capsys.readouterr().err
    pair = {"pairID": "1", "Flickr30K_ID": "1", "gold_label": "neutral", "sentence1": "x", "sentence2": "y"}
    Path("pairs.jsonl").write_text(json.dumps(pair) + "\n")
    given = ["snli_ve", "--rule", "biased", "--cues", "x=entailment", "y", "--annotations", "pairs.jsonl"]
    assert shift.main([*given, "--out", "b"]) == 2
    assert "'y'" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered(root: Path, shell: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "vlkd_steps", "--show-completion", shell]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "_VLKD_COMPLETE" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="the shell of this test")
def test_completion_of_subcommands_and_options(root: Path) -> None:
    def completed(words: str) -> list[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(root),
            "_VLKD_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        done = subprocess.run([sys.executable, "-m", "vlkd_steps"], env=environment, capture_output=True, text=True)
        return done.stdout.split()

    assert completed("vlkd sc") == ["score"]
    assert completed("vlkd score v") == ["vqa", "vcr"]
    assert "--annotations" in completed("vlkd score vqa --")
    assert completed("vlkd plan --gpu h") == ["h100", "h200"]


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("cli.verify", ["runs/x", "--kee", "y"]),
        ("graph.sync", ["--hel"]),
        ("graph.commit", ["--exper", "scenes"]),
    ],
)
def test_options_are_not_abbreviated(module: str, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"vlkd_steps.{module}").main(arguments)
    assert end.value.code == 2
