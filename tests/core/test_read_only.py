"""What can be replaced or touched; the whole with the real snakemake and dvc: tests/pipeline/test_entry_points.py."""

from pathlib import Path

import pytest

from vlkd_steps.core import read_only


def test_a_snakemake_that_looks_elsewhere_is_noticed() -> None:
    from snakemake.jobs import Job

    assert hasattr(Job, "check_protected_output")
    with pytest.raises(AttributeError, match="read_only"):
        read_only.judge_by_folder_and_owner(object, ValueError)


def test_touching_to_find_out_leaves_the_times(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0o444)
    (tmp_path / "dangling").symlink_to("nowhere")
    for path in (tmp_path / "file", tmp_path / "dangling"):
        before = path.lstat().st_mtime_ns
        assert read_only.touchable(path)
        assert path.lstat().st_mtime_ns == before
    assert read_only.removable(tmp_path / "file")
