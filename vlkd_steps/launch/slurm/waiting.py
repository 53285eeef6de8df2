"""Messages about jobs that wait in the queue: why, since when, and what starts them if waiting alone does not.

Nothing limits the wait. A line is due when a job's state changes, when a reason appears that somebody has to remove
(a held job, a drained node), after ten minutes, and every hour.
"""

import re
import time

from vlkd_steps.launch.slurm.queue import Seen

FIRST, AGAIN = 600.0, 3600.0  # seconds
ADVICE = (
    (r"held|_hold", "it is held and does not start by itself: scontrol release {job_id}"),
    (r"^Partition(Down|Inactive|\w*Limit)", "the partition does not start it: scontrol show partition {partition}"),
    (r"DOWN|DRAIN|NodeDown|NotAvail|Unavailable", "nodes that it needs are down, drained or reserved: sinfo -R"),
    (r"^BadConstraints", "no node satisfies its constraints: vlkd doctor --profile <name>"),
    (r"^(Assoc|QOS|Max)\w*|Account|InvalidQOS", "a limit of your account or QoS stops it: sacctmgr show qos"),
    (r"^DependencyNeverSatisfied|^Reservation", "it waits for what may never happen: scontrol show job {job_id}"),
)  # fmt: skip
"""By the reason or state that squeue gives; other reasons, such as Priority or Resources, pass by themselves."""


class Waits:
    """Remembers since when jobs wait."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def described(self, job: Seen) -> tuple[str, str]:
        """A job in a line, and the line's key: it is to be said where the key is another one than before.

        ``RUNNING  partition gpu on node7, 0:12 of 4:00:00``, or
        ``PENDING (Resources)  partition gpu, for 10 min``
        """
        if job.state == "RUNNING":
            self._since.pop(job.job_id, None)
            text = f"RUNNING  partition {job.partition} on {job.nodes}, {job.elapsed} of {job.limit}"
            return text, f"RUNNING {job.nodes}"
        reason = f" ({job.reason})" if job.reason not in ("", "None") else ""
        text = f"{job.state}{reason}  partition {job.partition}"
        waited = time.monotonic() - self._since.setdefault(job.job_id, time.monotonic())
        hours = int(waited // AGAIN)
        if waited >= FIRST:
            text += f", for {hours} h" if hours else f", for {waited // 60:.0f} min"
        help = advice(job)
        return text + (f"; {help}" if help else ""), f"{job.state} {help} {waited >= FIRST} {hours}"


def advice(job: Seen) -> str:
    """What starts a waiting job; empty where it only has to wait."""
    why = job.reason if job.state == "PENDING" else job.state  # such as REQUEUE_HOLD
    found = next((text for pattern, text in ADVICE if re.search(pattern, why, re.IGNORECASE)), "")
    return found.format(job_id=job.job_id, partition=job.partition)
