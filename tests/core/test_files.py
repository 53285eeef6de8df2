from pathlib import Path

import pytest

from vlkd_steps.core import files


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
