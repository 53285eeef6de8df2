"""Turns the runs of `synthetic_results` into runs of a cluster: Slurm jobs with a GPU, every fourth preempted once.

``python tests/synthetic_costs.py FOLDER``, after ``python tests/synthetic_results.py FOLDER``.
"""

import json
import os
import sys
from pathlib import Path

from vlkd_steps.core import files, layout

GIVEN = {"processes": 1, "nodes": 1, "cpus": 8, "gpus": 1, "memory_mib": 32000}


def on_cluster(experiment: str = "scenes") -> None:
    """Rewrite the journals below the current folder."""
    for number, folder in enumerate(layout.run_folders(experiment)):
        path = layout.journal(folder)
        events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        start, end = events[0], events[-1]
        start |= {"allocation": GIVEN, "attempt": 1}
        start["tags"] |= {
            "slurm_job": f"{4000 + number // 3}_{number % 3}",
            "slurm_node": f"gpu{number % 2 + 1:02}",
            "slurm_partition": "gpu",
            "gpu": "NVIDIA A100-SXM4-40GB",
        }
        end |= {"cpu_seconds": 2.4 * end["seconds"], "gpu_peak_mib": 1234.5}
        if number % 4 == 0:  # 90 seconds that were lost on another node
            before = {**start, "time": start["time"] - 400, "tags": {**start["tags"], "slurm_node": "gpu03"}}
            interruption = {"event": "interrupted", "time": start["time"] - 310, "reason": "TERM"}
            events = [before, interruption, {**start, "attempt": 2}, *events[1:]]
        files.write_text(path, "".join(json.dumps(event) + "\n" for event in events))


if __name__ == "__main__":
    os.chdir(Path(sys.argv[1]))
    on_cluster()
