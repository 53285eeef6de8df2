import json
import subprocess
import sys
from pathlib import Path

import pytest

from vlkd_steps.tracking import provenance


@pytest.fixture(autouse=True)
def _fresh() -> None:
    for function in (provenance.git, provenance.versions, provenance.host):
        function.cache_clear()


def test_it_knows_code_packages_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    known = provenance.collect(device="cpu", precision="fp32", threads=1, seconds=1.23456, peak_mib=10.04)
    assert json.loads(json.dumps(known)) == known
    assert len(known["git"]["commit"]) == 40
    assert known["versions"]["mlflow"]
    assert known["host"]["machine"]
    assert known["slurm"] == {"job_id": "17"}
    assert (known["device"], known["precision"], known["threads"]) == ("cpu", "fp32", 1)
    assert (known["seconds"], known["peak_mib"]) == (1.235, 10.0)


def test_the_dirty_flag_follows_the_working_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "a"], check=True)
    assert provenance.git()["dirty"] is False
    Path("new_method.py").touch()
    provenance.git.cache_clear()
    assert provenance.git()["dirty"] is True


def test_outside_a_repository_it_says_nothing_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.collect()["git"] == {"commit": None, "dirty": None}
    assert provenance.collect()["lock_sha256"] is None


def test_it_does_not_import_torch() -> None:
    code = "import sys; from vlkd_steps.tracking import provenance; provenance.collect(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_peak_memory_is_that_of_this_process() -> None:
    peak = provenance.peak_mib()
    assert peak is None or 5 < peak < 100_000
