import os
from pathlib import Path

import pytest

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def die_half_way() -> None:
        with files.atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        die_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_umask_holds_and_is_not_changed_for_other_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda mask: pytest.fail("changed for all threads"))
            files.write_text(tmp_path / "a.txt", "new")
    finally:
        os.umask(before)
    if "Umask:" in Path("/proc/self/status").read_text():
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_read_only_link_into_a_cache_is_replaced_not_written(tmp_path: Path) -> None:
    cached = tmp_path / "cache"
    cached.write_text("cached")
    cached.chmod(0o444)
    path = tmp_path / "a.txt"
    path.hardlink_to(cached)
    files.write_text(path, "new")
    assert (path.read_text(), cached.read_text()) == ("new", "cached")


def test_equal_values_are_equal_bytes(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a", {"b": 1, "a": [2.5, "é"]})
    files.write_json(tmp_path / "b", {"a": [2.5, "é"], "b": 1})
    assert files.sha256(tmp_path / "a") == files.sha256(tmp_path / "b")
    assert files.digest({"b": 1, "a": 2}) == files.digest({"a": 2, "b": 1})


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "is missing"),
        (b'{"a": 1,\n', "is not JSON (line 2, column 1: "),
        (b"\xff{}", "cannot be read ('utf-8' codec can't decode byte 0xff"),
        (b"[1]", "must be JSON of an object, not a list"),
        (b"null", "must be JSON of an object, not null"),
    ],
)
def test_json_that_cannot_be_taken_is_named_with_the_remedy(tmp_path: Path, content: bytes | None, fault: str) -> None:
    path = tmp_path / "{a}.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        files.read_json(path)
    assert str(error.value).startswith(f"{path} {fault}")
    assert str(error.value).endswith(f"; make it again: snakemake --cores 1 -f {path}")
    with pytest.raises(UserError, match=r"; ask Ada$"):
        files.read_json(path, "ask Ada")
    assert files.known_json(path) == {}


def test_existing_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"a": ["\u00e4"]})
    assert files.read_json(path) == files.known_json(path) == {"a": ["\u00e4"]}
    files.write_json(path, [1])
    assert files.read_json(path, kind=list) == [1]
