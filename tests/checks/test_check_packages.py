import importlib.metadata
from pathlib import Path

from vlkd_steps.checks import packages


def test_equal_missing_and_other_versions_are_distinguished(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    polars = importlib.metadata.version("polars")
    lock.write_text(f"# a comment\npolars=={polars}\n")
    assert packages.check(lock)[0].line() == f"  ok    packages         all 1 as in {lock}"
    lock.write_text(f"polars=={polars}\nnumpy==0.0.1\nno-such-package==1.0\nnvidia-no-such==1\n")
    missing, gpu, other = packages.check(lock)
    assert (
        missing.line()
        == "  fail  missing          no-such-package; install the packages of the lock file: make install"
    )
    assert (gpu.level, gpu.found) == ("warn", "nvidia-no-such: no CUDA without them")
    assert other.level == "warn"
    assert f"numpy {importlib.metadata.version('numpy')} (lock: 0.0.1)" in other.found


def test_many_names_are_counted(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("".join(f"no-such-package-{i}==1\n" for i in range(9)))
    assert packages.check(lock)[0].found.endswith("no-such-package-5 and 3 more")


def test_without_a_lock_file(tmp_path: Path) -> None:
    assert packages.check(tmp_path / "requirements.lock")[0].level == "warn"
