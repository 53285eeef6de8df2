"""A rule's Slurm resources from the profile, which a step reads from the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from vlkd_steps.core.errors import UserError

PREFIX = "VLKD_"


@dataclass(frozen=True)
class Request:
    """A launched rule's resources; the profile's ``set-resources`` sets them.

    Attributes:
        runtime: minutes. mem_mb: MiB per node. gpu, tasks: per node. cpus_per_task: per task.
        workers: jobs that share the work of a step that can be divided (extraction).
        tries: jobs that may end without a result before the part fails.
        warning: seconds before the time limit at which Slurm warns the job, which then saves and requeues itself.
        poll: seconds between two queries of the queue.
        scratch: a folder on the node's disk; it may contain variables of the node such as ``$SLURM_TMPDIR``.
        loader_workers: processes that decode images; empty: as many as the CPUs allow.
        detach: "yes" leaves submitted jobs running on Ctrl-C.
    """

    slurm_partition: str = ""
    slurm_account: str = ""
    qos: str = ""
    constraint: str = ""
    slurm_extra: str = ""
    runtime: int = 60
    mem_mb: int = 4000
    nodes: int = 1
    tasks: int = 1
    cpus_per_task: int = 1
    gpu: int = 0
    gpu_model: str = ""
    workers: int = 1
    tries: int = 3
    warning: int = 90
    poll: int = 10
    scratch: str = ""
    loader_workers: str = ""
    detach: str = "no"

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read ``VLKD_<NAME>`` for every field; unset and empty ones keep their defaults.

        Raises:
            UserError: a value is no whole number or too small.
        """
        given: dict[str, Any] = {}
        for field in fields(cls):
            text = environment.get(PREFIX + field.name.upper(), "")
            if text == "":
                continue
            if field.type is not int and field.type != "int":
                given[field.name] = text
                continue
            least = 0 if field.name in ("gpu", "mem_mb") else 1
            if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:  # isdigit is true of superscripts
                raise UserError(
                    f"the resource {field.name} is {text!r}; write a whole number of at least {least} under "
                    "set-resources in profiles/<name>/config.yaml"
                )
            given[field.name] = int(text)
        if str(given.get("detach", "no")).lower() not in ("yes", "no", "true", "false"):
            raise UserError(f"the resource detach is {given['detach']!r}; write yes or no under set-resources")
        request = cls(**given)
        if request.warning >= 60 * request.runtime:
            raise UserError(
                f"the resource warning is {request.warning} seconds, which is all of a time limit of {request.runtime} "
                "minutes (runtime): a job would save and requeue itself before it has done anything; lower it"
            )
        return request

    @property
    def detached(self) -> bool:
        return self.detach.lower() in ("yes", "true")

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a job reads these resources on its node."""
        return {PREFIX + name.upper(): str(getattr(self, name)) for name in ("scratch", "loader_workers")}

    @property
    def processes(self) -> int:
        """Processes of one training: tasks on all nodes."""
        return self.nodes * self.tasks

    def parameters(self) -> dict[str, Any]:
        """As keyword arguments of submitit's ``SlurmExecutor.update_parameters``."""
        chosen: dict[str, Any] = {
            "partition": self.slurm_partition,
            "account": self.slurm_account,
            "qos": self.qos,
            "constraint": self.constraint,
            "time": self.runtime,
            "nodes": self.nodes,
            "ntasks_per_node": self.tasks,
            "cpus_per_task": self.cpus_per_task,
            "mem": f"{self.mem_mb}M" if self.mem_mb else "",
        }
        more: dict[str, Any] = {"requeue": True}
        if self.gpu:
            more["gres"] = f"gpu:{self.gpu_model}:{self.gpu}" if self.gpu_model else f"gpu:{self.gpu}"
        more |= extra_options(self.slurm_extra)
        return {name: value for name, value in chosen.items() if value != ""} | {
            "signal_delay_s": self.warning,
            "stderr_to_stdout": True,
            "wckey": None,  # submitit's own, "submitit", is refused where users have keys (AccountingStorageEnforce)
            # If one process of a training dies, the others must not wait for it.
            "srun_args": ["--kill-on-bad-exit=1", *cpu_option(self.cpus_per_task)],
            "additional_parameters": more,
        }


def cpu_option(cpus_per_task: int) -> list[str]:
    """Since Slurm 22.05 srun does not inherit ``--cpus-per-task`` from sbatch."""
    return [f"--cpus-per-task={cpus_per_task}"]


def extra_options(text: str) -> dict[str, str | bool]:
    """``--nice=100 --exclusive`` as ``{"nice": "100", "exclusive": True}``.

    Raises:
        UserError: a word that is no ``--name`` or ``--name=value``, or an option that belongs to the pipeline.
    """
    options: dict[str, str | bool] = {}
    for word in text.split():
        name, has_value, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise UserError(
                f"the resource slurm_extra has {word!r}; write options as --name=value, with spaces between"
            )
        if name in OWN:
            raise UserError(f"the resource slurm_extra sets --{name}, which {OWN[name]}; leave it out")
        options[name] = value if has_value else True
    return options


OWN: Mapping[str, str] = {
    "signal": "comes from the resource `warning`",
    "requeue": "is always on",
    "no-requeue": "would lose preempted runs",
    "job-name": "is how a job is found again after a crash",
    "array": "comes from the seeds or `workers`",
    "output": "is where messages are looked for",
    "error": "is where messages are looked for",
    "time": "comes from the resource `runtime`",
    "partition": "comes from the resource `slurm_partition`",
    "mem": "comes from the resource `mem_mb`",
    "gres": "comes from the resources `gpu` and `gpu_model`",
}
