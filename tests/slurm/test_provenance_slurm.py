"""Provenance of real jobs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, os
from vlkd_steps.tracking import provenance
meter = provenance.Meter()
sum(range(10_000_000))
known = {"known": provenance.collect(**meter.cost()), "tags": provenance.tags()}
print(json.dumps(known | {"process": os.environ["SLURM_PROCID"], "node": os.environ["SLURMD_NODENAME"]}))
"""


@pytest.mark.usefixtures("cluster")
def test_a_task_of_an_array_knows_its_job_and_what_it_was_given(root: Path, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(CODE)
    # a file for each process: two that write to one through the job's own pipe tear each other's lines
    srun = f"srun --cpus-per-task=2 --output={tmp_path}/written.%t {sys.executable} {tmp_path}/job.py"
    script = f"#!/bin/sh\nexport PYTHONPATH={root}\nexec {srun}\n"
    options = ["--partition=normal", "--array=3", "--ntasks=2", "--cpus-per-task=2", "--mem=600", "--time=5"]
    done = subprocess.run(
        ["sbatch", "--parsable", "--wait", *options, f"--output={tmp_path}/out"],
        input=script, text=True, capture_output=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    array = done.stdout.strip()
    written = [json.loads((tmp_path / f"written.{process}").read_text()) for process in range(2)]
    assert [each["process"] for each in written] == ["0", "1"]
    for each in written:
        node = each["node"]
        assert each["tags"] == {"slurm_job": f"{array}_3", "slurm_node": node, "slurm_partition": "normal"}
        known = each["known"]
        assert known["allocation"] == {"processes": 2, "nodes": 1, "cpus": 4, "gpus": 0, "memory_mib": 600}
        assert (known["slurm"]["job_partition"], known["slurm"]["ntasks"]) == ("normal", "2")
        assert 0 < known["efficiency"]["cpu"] <= 0.6  # one thread on two CPUs
        assert known["efficiency"]["memory"] == pytest.approx(known["peak_mib"] * 2 / 600, abs=0.01)
