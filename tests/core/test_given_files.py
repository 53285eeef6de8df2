"""The user's files that a model's configuration names."""

from pathlib import Path

import pytest

from vlkd_steps.core import files, given_files
from vlkd_steps.core.errors import UserError

CONF = {"name": "mine", "kind": "vilt", "weights": "folder", "vocabulary": "words.txt", "architecture": {"model": "x"}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("words.txt", "folder/config.json", "folder/model.safetensors", "folder/inner/other"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_files_and_those_of_a_folder_are_found_with_their_sums(here: Path) -> None:
    named = [Path("folder/config.json"), Path("folder/model.safetensors"), Path("words.txt")]
    assert given_files.named(CONF) == named
    assert given_files.sums(CONF) == {path.as_posix(): files.sha256(path) for path in named}
    assert given_files.digest(CONF)


@pytest.mark.parametrize("weights", [None, "facebook/bart-base", "asset:clip_scenes.safetensors", "openai"])
def test_names_of_a_hub_or_of_the_package_are_no_files(here: Path, weights: str | None) -> None:
    Path("scenes").mkdir()  # a vocabulary of the package, whatever lies here
    Path("scenes/file").touch()
    conf = {"name": "mine", "weights": weights, "vocabulary": "scenes"}
    assert given_files.named(conf) == []
    assert given_files.digest(conf) == ""


def test_what_pretraining_makes_is_not_given(here: Path) -> None:
    made = Path("models/mine/model.safetensors")
    made.parent.mkdir(parents=True)
    made.touch()
    assert given_files.named({"name": "mine", "weights": made.as_posix()}) == []
    assert given_files.named({"name": "other", "weights": made.as_posix()}) == [made]


def test_a_file_that_cannot_be_read_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(given_files.checksums, "of", refused)
    with pytest.raises(
        UserError, match=r"^mine: cannot read folder/config.json, .*: Permission denied; make it readable"
    ):
        given_files.digest(CONF)
