"""The doctor on a real cluster. Its nodes with GPUs are defined and powered down, which is the same to sbatch."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vlkd_steps.cli import doctor

Doctor = Callable[[str], tuple[int, list[str]]]

MORE = """
GresTypes=gpu
PrivateData=cloud
SuspendProgram=/bin/true
ResumeProgram=/bin/true
NodeName=gpu[01-03] CPUs=64 RealMemory=512000 Gres=gpu:a100:4 Feature=ib,avx512 State=CLOUD
NodeName=gpu04 CPUs=32 RealMemory=256000 Gres=gpu:v100:2 State=CLOUD
NodeName=broken NodeAddr=127.0.0.1 Port=1 CPUs=4 RealMemory=4000 State=DOWN
PartitionName=gpu Nodes=gpu[01-04] MaxNodes=2 MaxTime=2-00:00:00 MaxMemPerNode=400000 State=UP
PartitionName=closed Nodes=gpu[01-04] AllowAccounts=physics,chem AllowQos=long MaxTime=00:30:00 State=UP
PartitionName=off Nodes=gpu[01-04] State=DOWN
PartitionName=drain Nodes=gpu[01-04] State=DRAIN
PartitionName=broken Nodes=broken State=UP
PartitionName=empty State=UP
"""


@pytest.fixture(scope="module")
def slurm_conf(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    more = tmp_path_factory.mktemp("doctor") / "more.conf"
    more.write_text(MORE)
    folder = Path("/tmp") / f"vlkd-doctor-{os.getpid()}"  # sockets have short names only
    environment = {"VLKD_CLUSTER": str(folder), "VLKD_CLUSTER_CPUS": "8", "VLKD_CLUSTER_MORE": str(more)}
    environment = {**os.environ, **environment}
    script = str(root / "scripts/slurm_dev_cluster")
    started = subprocess.run([script, "up"], env=environment, capture_output=True, text=True)
    if started.returncode:
        pytest.skip(f"NO SLURM HERE, so the doctor is not tested: {started.stderr.strip()}")
    yield started.stdout.strip().removeprefix("export SLURM_CONF=")
    subprocess.run([script, "down"], env=environment, check=True)


@pytest.fixture
def examine(
    slurm_conf: str,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doctor:
    """Runs the doctor with a profile's text: exit status and the lines about Slurm."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("SLURM_CONF", slurm_conf)

    def run(text: str) -> tuple[int, list[str]]:
        (tmp_path / "config.yaml").write_text("slurm-status-command: squeue\n" + text)
        status = doctor.main(["--profile", str(tmp_path), "--wait", "5"])
        lines = capsys.readouterr().out.splitlines()
        begin = next(i for i, line in enumerate(lines) if line.startswith("Slurm"))
        return status, lines[begin + 1 : lines.index("MLflow")]

    return run


def profile(**resources: object) -> str:
    """All three launched rules with these resources."""
    given = ", ".join(f"{key}: {value}" for key, value in {"launcher": "slurm", **resources}.items())
    rules = "".join(f"  {rule}: {{{given}}}\n" for rule in ("distill", "extract", "pretrain"))
    others = "{slurm_partition: normal, runtime: 10, mem_mb: 500}"
    return f"executor: slurm\ndefault-resources: {others}\nset-resources:\n{rules}"


def test_a_profile_that_fits_is_found_to_fit(examine: Doctor) -> None:
    began = time.monotonic()
    status, lines = examine(profile(slurm_partition="urgent", runtime="2h", mem_mb=1000, cpus_per_task=2))
    assert time.monotonic() - began < 60
    assert status == 0, lines
    by_subject = {line[8:24].strip(): line for line in lines}
    assert set(by_subject) == {"controller", "accounting", "distill", "extract", "pretrain", "other rules"}
    assert [line[:8] for line in lines] == ["  ok    "] * 6
    assert "cluster vlkd, Slurm " in by_subject["controller"]
    assert "accounts are not checked" in by_subject["accounting"]
    for option in ("--partition=urgent", "--time=120", "--mem=1000M", "--cpus-per-task=2"):
        assert option in by_subject["distill"]
    assert re.search(r"to start at \S+ using 2 processors on nodes \S+ in partition urgent", by_subject["distill"])
    for option in ("--partition=normal", "--time=10", "--mem=500M"):
        assert option in by_subject["other rules"]


GPUS = {"slurm_partition": "gpu", "runtime": 600, "mem_mb": 64000, "gpu": 2, "gpu_model": "a100", "cpus_per_task": 8}


def test_gpus_that_are_there(examine: Doctor) -> None:
    status, lines = examine(profile(**GPUS, nodes=2, tasks=2, constraint="ib", slurm_extra="--exclusive"))
    assert status == 0, lines
    [line] = [line for line in lines if line.split()[1] == "distill"]
    assert "--gres=gpu:a100:2" in line
    assert "--exclusive" in line
    assert "on nodes gpu[01-02] in partition gpu" in line


@pytest.mark.parametrize(
    ("resources", "keys", "facts"),
    [
        ({"slurm_partition": "norml"}, {"slurm_partition"}, ["'norml'", "did you mean 'normal'?"]),
        ({"slurm_partition": "normal", "gpu": 1}, {"gpu"}, ["GPUs none"]),
        ({"slurm_partition": "normal", "gpu": 1, "gpu_model": "a100"}, {"gpu", "gpu_model"}, ["'a100'", "GPUs none"]),
        ({"slurm_partition": "normal", "mem_mb": 99_000_000}, {"mem_mb"}, ["99000000"]),
        ({"slurm_partition": "normal", "cpus_per_task": 999}, {"cpus_per_task"}, ["999", "1 x 8 CPUs"]),
        ({"slurm_partition": "normal", "nodes": 2}, {"nodes"}, ["nodes 2", "1 x 8 CPUs"]),
        ({"slurm_partition": "normal", "constraint": "ib"}, {"constraint"}, ["'ib'", "features none"]),
        ({"slurm_partition": "normal", "constraint": "a&b"}, {"constraint"}, ["Invalid feature specification"]),
        ({"slurm_partition": "normal", "slurm_extra": "--reservation=x"}, {"slurm_extra"}, ["--reservation=x"]),
        ({"slurm_partition": "normal", "slurm_extra": "--nonsense"}, {"slurm_extra"}, ["--nonsense"]),
        ({**GPUS, "gpu_model": "h100"}, {"gpu_model"}, ["'h100'", "gpu:a100:4", "gpu:v100:2"]),
        ({**GPUS, "gpu": 8}, {"gpu"}, ["gpu 8", "3 x 64 CPUs, 512000 MB, GPUs gpu:a100:4"]),
        ({**GPUS, "gpu": 4, "gpu_model": "v100"}, {"gpu or gpu_model"}, ["gpu 4, gpu_model 'v100'"]),
        ({**GPUS, "gpu": 1, "gpu_model": "v100", "mem_mb": 300_000}, {"mem_mb or gpu or gpu_model"}, ["256000 MB"]),
        ({**GPUS, "gpu": 1, "gpu_model": "v100", "constraint": "ib"}, {"constraint or gpu or gpu_model"}, ["'ib'"]),
        ({**GPUS, "gpu": 1, "gpu_model": "v100", "nodes": 2}, {"nodes or gpu or gpu_model"}, ["1 x 32 CPUs"]),
        ({**GPUS, "tasks": 4, "cpus_per_task": 32}, {"tasks or cpus_per_task"}, ["tasks 4, cpus_per_task 32"]),
        ({**GPUS, "runtime": 7200}, {"runtime"}, ["7200", "at most 2880 minutes"]),
        ({**GPUS, "mem_mb": 450_000}, {"mem_mb"}, ["450000", "at most 400000 MB a node"]),
        ({**GPUS, "nodes": 3}, {"nodes"}, ["nodes is 3", "at most 2 nodes"]),
        ({"slurm_partition": "'off'"}, {"slurm_partition"}, ["partition off is DOWN"]),
        ({"slurm_partition": "drain"}, {"slurm_partition"}, ["partition drain is DRAIN"]),
        ({"slurm_partition": "empty"}, {"slurm_partition"}, ["'empty'"]),
        ({"slurm_partition": "broken"}, {"slurm_partition"}, ["1 x 4 CPUs", "down"]),
        ({"slurm_partition": "closed", "runtime": 20}, {"slurm_account"}, ["accounts chem, physics, and none is"]),
        (
            {"slurm_partition": "closed", "runtime": 60, "slurm_account": "bio", "qos": "short"},
            {"runtime", "slurm_account", "qos"},
            ["at most 30 minutes", "not for account bio (for: chem, physics)", "QoS short (it takes: long)"],
        ),
    ],
)  # fmt: skip
def test_why_it_is_not_usable(examine: Doctor, resources: dict[str, object], keys: set[str], facts: list[str]) -> None:
    status, lines = examine(profile(**resources))
    assert status == 2
    failed = [line for line in lines if line.startswith("  fail")]
    assert {line.split()[1] for line in failed} == {"distill", "extract", "pretrain"}
    remedies = {re.search(r"; change (.*) under set-resources: (\w+) in the profile$", line) for line in failed}
    assert {(found[1], found[2]) for found in remedies if found} == {
        (key, rule) for key in keys for rule in ("distill", "extract", "pretrain")
    }
    assert all(any(fact in line for line in failed) for fact in facts), failed


def test_what_is_accepted_for_a_closed_partition_waits_for_ever(examine: Doctor, slurm_conf: str) -> None:
    """Why the doctor looks at AllowAccounts itself."""
    options = ["--partition=closed", "--account=bio", "--output=/dev/null", "--wrap=true"]
    submitted = subprocess.run(["sbatch", "--parsable", *options], capture_output=True, text=True, check=True)
    try:
        for _ in range(100):
            reason = subprocess.run(
                ["squeue", "--noheader", f"--jobs={submitted.stdout.strip()}", "--format=%T %r"],
                capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            if "account" in reason:
                break
            time.sleep(0.1)
        assert reason.startswith("PENDING")
        assert "can't use this partition" in reason
    finally:
        subprocess.run(["scancel", submitted.stdout.strip()], check=True)


def test_a_rule_of_the_executor_is_named_with_the_section_to_change(examine: Doctor) -> None:
    others = "{slurm_partition: normal, runtime: 10, mem_mb: 99000000}"
    status, lines = examine(f"executor: slurm\ndefault-resources: {others}\nset-resources:\n  compare: {{mem: 1GB}}\n")
    assert status == 2
    [failed] = [line for line in lines if line.startswith("  fail")]
    assert failed.startswith("  fail  other rules ")
    assert failed.endswith("change mem_mb under default-resources in the profile")
    assert any(line.startswith("  ok    compare ") and "--mem=1000M" in line for line in lines)


def test_a_controller_that_dies_during_a_query_is_not_waited_for(examine: Doctor, slurm_conf: str) -> None:
    """Its process is stopped, so it takes connections and answers nothing."""
    pid = int((Path(slurm_conf).parent / "slurmctld.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        status, [line] = examine(profile(slurm_partition="normal"))
        assert time.monotonic() - began < 60
        assert status == 2
        assert line.startswith("  fail  controller ")
        assert "--wait" in line
    finally:
        os.kill(pid, signal.SIGCONT)


def test_sacct_would_know_no_job(
    examine: Doctor, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examine(profile(slurm_partition="normal"))
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.removeprefix("slurm-status-command: squeue\n"))
    assert doctor.main(["--profile", str(tmp_path)]) == 2
    assert "fail  accounting       none, and snakemake would call sacct" in capsys.readouterr().out
