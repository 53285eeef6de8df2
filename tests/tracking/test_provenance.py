import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vlkd_steps.core import versions
from vlkd_steps.tracking import provenance


@pytest.fixture(autouse=True)
def _fresh() -> None:
    for function in (provenance.git, versions.installed, provenance.host):
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
    Path("dvc.lock").touch()  # a run's own
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


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the environment of a Slurm job and nothing else of Slurm."""

    def variables(**values: str) -> None:
        for name in [name for name in os.environ if name.startswith("SLURM")]:
            monkeypatch.delenv(name)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    monkeypatch.delenv("WORLD_SIZE", raising=False)
    return variables


# As a real job of slurm 22.05 had it: --array=0-1 --ntasks-per-node=2 --cpus-per-task=2 --mem=500, in an srun step.
STEP = {
    "SLURM_JOB_ID": "2", "SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_PARTITION": "normal",
    "SLURM_JOB_NODELIST": "vm", "SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS": "2", "SLURM_CPUS_PER_TASK": "2",
    "SLURM_JOB_CPUS_PER_NODE": "4", "SLURM_MEM_PER_NODE": "500", "SLURMD_NODENAME": "vm",
}  # fmt: skip


def test_a_slurm_job_holds_what_it_was_given(slurm: Callable[..., None]) -> None:
    slurm(**STEP, SLURM_RESTART_COUNT="1")
    known = provenance.collect(seconds=10, cpu_seconds=15, peak_mib=100)
    assert known["allocation"] == {"processes": 2, "nodes": 1, "cpus": 4, "gpus": 0, "memory_mib": 500}
    assert known["efficiency"] == {"cpu": 0.75, "memory": 0.4}  # two processes: 30 of 40 s, 200 of 500 MiB
    assert (known["slurm"]["array_job_id"], known["slurm"]["restart_count"]) == ("1", "1")
    assert provenance.tags() == {"slurm_job": "1_0", "slurm_node": "vm", "slurm_partition": "normal"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SLURM_JOB_CPUS_PER_NODE": "16(x2),8", "SLURM_JOB_NUM_NODES": "3"}, {"cpus": 40, "nodes": 3}),
        ({"SLURM_NTASKS": "4", "SLURM_CPUS_PER_TASK": "8"}, {"cpus": 32, "processes": 4}),
        ({"SLURM_JOB_GPUS": "0,1", "SLURM_JOB_NUM_NODES": "2"}, {"gpus": 4}),
        ({"SLURM_JOB_GPUS": "2,3", "SLURM_GPUS_ON_NODE": "2"}, {"gpus": 2}),
        ({"SLURM_MEM_PER_CPU": "2000", "SLURM_JOB_CPUS_PER_NODE": "4(x2)"}, {"cpus": 8, "memory_mib": 16000}),
        ({"SLURM_MEM_PER_GPU": "9000", "SLURM_GPUS_ON_NODE": "2"}, {"memory_mib": 18000}),
        ({"SLURM_MEM_PER_NODE": "0"}, {"memory_mib": None, "cpus": 1}),
    ],
)
def test_slurms_own_ways_of_writing(
    slurm: Callable[..., None], variables: dict[str, str], expected: dict[str, int | None]
) -> None:
    slurm(SLURM_JOB_ID="7", **variables)
    given = provenance.allocation()
    assert {name: given[name] for name in expected} == expected


def test_outside_slurm_a_process_is_charged_its_threads(
    slurm: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm()
    assert provenance.allocation("cpu", 3)["cpus"] == 3
    assert provenance.allocation("cuda:0", 1)["gpus"] == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    given = provenance.allocation("cpu", 3)
    assert (given["cpus"], given["processes"], given["gpus"], given["memory_mib"]) == (6, 2, 0, None)
    assert provenance.tags("cpu") == {}


def test_a_meter_reports_what_was_used_since() -> None:
    meter = provenance.Meter()
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    used = meter.cost()
    assert 0.09 < used["cpu_seconds"] <= used["seconds"] + 0.05
    assert used["peak_mib"] == pytest.approx(provenance.peak_mib(), rel=0.1)
    assert "gpu_peak_mib" not in used
    assert json.loads(json.dumps(provenance.collect(**used)))["cpu_seconds"] == used["cpu_seconds"]


def test_a_step_that_keeps_no_clock_is_measured_over_its_whole_life() -> None:
    code = """
import json, time
from vlkd_steps.core import versions
from vlkd_steps.tracking import provenance
until = time.process_time() + 0.4
while time.process_time() < until: pass
time.sleep(0.4)
print(json.dumps([provenance.age(), time.process_time(), provenance.collect(seconds=9)["efficiency"]["cpu"]]))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    age, used, share = json.loads(done.stdout)
    assert 0.8 < age < 20
    assert share == pytest.approx(used / age, rel=0.15)


def test_variables_that_choose_kernels_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    found = provenance.collect()["kernels"]
    assert found["OPENBLAS_CORETYPE"] == "Haswell"
    assert found["ATEN_CPU_CAPABILITY"] == "default"
    assert "OPENBLAS_NUM_THREADS" not in found
