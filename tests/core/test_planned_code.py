"""A job loads the code that its run has planned, or ends."""

import importlib
import sys
from pathlib import Path

import pytest

from vlkd_steps.core import fingerprint, planned_code, step, syntax
from vlkd_steps.core.errors import UserError


def forget() -> None:
    for cached in (fingerprint.fingerprint, fingerprint._syntax, fingerprint._imports, fingerprint._folders_of):
        cached.cache_clear()
    syntax.sources.cache_clear()


@pytest.fixture
def own_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder of a step `planned_step.main`, which imports its sibling `late` late; a run has planned it."""
    folder = tmp_path / "planned_step"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "main.py").write_text("def run():\n    from planned_step import late\n    return late.VALUE\n")
    (folder / "late.py").write_text("VALUE = 1\n")
    (folder / "unused.py").write_text("VALUE = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(fingerprint, "CALCULATED", {})
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two edits within a second, of the same size
    forget()
    planned = fingerprint.fingerprint("planned_step.main")
    planned_code.remember()
    monkeypatch.setenv(planned_code.VARIABLE, planned)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "planned_step"]:
        del sys.modules[name]
    forget()


def test_an_edit_that_concerns_a_step_ends_it_when_it_starts(own_step: Path) -> None:
    (own_step / "late.py").write_text("VALUE = 2\n")
    with pytest.raises(UserError, match=r"planned_step\.late"):
        step.configuration(["--config", "{}"], None)
    (own_step / "late.py").unlink()
    with pytest.raises(UserError, match=r"planned_step\.late"):
        planned_code.hold()


def test_an_edit_of_a_module_that_is_not_yet_imported_ends_it_at_that_import(own_step: Path) -> None:
    step.configuration(["--config", "{}"], None)
    run = importlib.import_module("planned_step.main").run
    (own_step / "late.py").write_text("VALUE = 2\n")
    with pytest.raises(UserError, match=r"planned_step\.late"):
        run()
    (own_step / "late.py").write_text("VALUE = 1\n")
    assert run() == 1


def test_other_edits_concern_no_step(own_step: Path) -> None:
    (own_step / "unused.py").write_text("VALUE = 2\n")
    (own_step / "late.py").write_text('"""A docstring."""\n\nVALUE = 1  # a comment\n')
    planned_code.hold()
    assert importlib.import_module("planned_step.main").run() == 1


def test_a_step_that_was_started_by_hand_has_no_plan(own_step: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_step / "late.py").write_text("VALUE = 2\n")
    monkeypatch.delenv(planned_code.VARIABLE)
    planned_code.hold()
    monkeypatch.setenv(planned_code.VARIABLE, "of no run")
    planned_code.hold()
    assert importlib.import_module("planned_step.main").run() == 2
