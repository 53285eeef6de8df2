"""Repeats a run in a scratch folder and compares the results."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlkd_steps.core import layout, run_yaml
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.core.step import log
from vlkd_steps.tracking import journal, provenance
from vlkd_steps.verification import causes, differences, inputs, recorded_model, recorded_run
from vlkd_steps.verification.causes import Cause
from vlkd_steps.verification.differences import Parting
from vlkd_steps.verification.inputs import Input
from vlkd_steps.verification.recorded import Recorded
from vlkd_steps.verification.scratch_project import link, run_step, scratch_project


@dataclass(frozen=True)
class Result:
    """The result of a comparison.

    Attributes:
        run: the run that was verified.
        parting: where its losses and those of the repetition diverge.
        outputs: a line for each output whose bytes differ.
        changes: what has changed since training, the likeliest cause first.
        unrecorded: inputs without a recorded hash.
    """

    run: Recorded
    parting: Parting | None
    outputs: Sequence[str]
    changes: Sequence[Cause]
    unrecorded: Sequence[Input]

    @property
    def equal(self) -> bool:
        return not self.parting and not self.outputs

    def text(self) -> str:
        """The result as text."""
        return "\n  ".join(self._equal() if self.equal else self._different())

    def _equal(self) -> list[str]:
        outputs, points = self.run.outputs(), differences.compared_points(self.run)
        lines = [f"equal: {self.run.folder}", f"{len(outputs)} files have equal bytes: {_some(outputs)}"]
        lines += [f"{points} values of the journal are equal"] if points else []
        lines += [f"changed since then, without effect: {cause}" for cause in self.changes]
        return lines + self._remarks()

    def _different(self) -> list[str]:
        lines = [f"different: {self.run.folder}", *([str(self.parting)] if self.parting else []), *self.outputs]
        if self.outputs and not self.parting and differences.compared_points(self.run):
            lines.append("the losses are equal at every step")
        if self.changes:
            lines += [f"likely cause: {self.changes[0]}", *(f"also {each}" for each in self.changes[1:])]
        else:
            lines.append(
                "no likely cause: recipe, code, inputs, machine type, threads and versions are those recorded; "
                + ("it may be a nondeterministic operation" if self.parting else "a file was changed after training")
            )
        return lines + self._remarks()

    def _remarks(self) -> list[str]:
        """What could not be compared."""
        lines = []
        if not self.run.events and self.run.called == "run":
            lines.append(f"not compared: losses; {layout.journal(self.run.folder)} has no events of this run")
        if not self.run.provenance:
            lines.append(
                f"not compared: machine and versions; {layout.provenance(self.run.folder)} is missing (dvc pull)"
            )
        if self.unrecorded:
            paths = [each.path for each in self.unrecorded]
            lines.append(f"not compared: {len(paths)} inputs without a recorded hash: {_some(paths)}")
        return lines


def verify(folder: Path, keep: Path | None, stop: StopRequest) -> Result:
    """Repeat the run in a folder and compare.

    Args:
        folder: from the project's root, which is the current folder.
        keep: as in `scratch_project.scratch_project`.

    Raises:
        UserError: there is nothing to verify, or the training failed.
        Interrupted: a signal came.
    """
    run: Recorded = (recorded_model if recorded_model.is_model(folder) else recorded_run).read(folder)
    read = inputs.check(run, stop)
    seconds = run.provenance.get("seconds")
    with scratch_project(Path.cwd(), folder.parts[0], keep) as scratch:
        log.info(
            f"{len(read)} inputs of {folder} are as recorded; repeating it in {scratch}"
            + (f" (it took {seconds:.0f} s)" if seconds else "")
        )
        again = repeat(run, scratch, stop)
        now = json.loads(layout.provenance(again).read_text(encoding="utf-8"))
        return Result(
            run,
            parting(run, again),
            list(differences.of_outputs(run, again)),
            changes_since(run, again, now),
            [each for each in read if each.recorded is None],
        )


def repeat(run: Recorded, scratch: Path, stop: StopRequest) -> Path:
    """Repeat the run or model in a scratch project; returns its folder there.

    Raises:
        UserError: a step failed.
        Interrupted: a signal came.
    """
    for path in run.links():
        link(Path.cwd(), scratch, path)
    for name, config in run.steps():
        if status := run_step(scratch, name, config, stop):
            stop.raise_if_set()
            raise UserError(
                f"{run.folder} cannot be verified: step {name} failed with status {status} for the reason above "
                f"(the {run.called} was trained on {run.provenance.get('device') or 'a device that is not recorded'})"
            )
    return scratch / run.folder


def parting(run: Recorded, again: Path) -> Parting | None:
    """Where the losses diverge; None if they do not, or if the run's journal has no losses."""
    if not run.events:
        return None
    return differences.parting(journal.curves(run.events), journal.curves(journal.read(layout.journal(again))))


def changes_since(run: Recorded, again: Path, now: dict[str, Any]) -> list[Cause]:
    """What has changed since training, the likeliest cause first."""
    described = run_yaml.parse(layout.run_config(again).read_text(encoding="utf-8"))
    return [
        *causes.of_files(run),
        *causes.of_configuration(run),
        *causes.of_code(run, described["made_of"]["code"], provenance.git()),
        *causes.of_environment(run.provenance, now),
    ]


def _some(names: Sequence[Path]) -> str:
    return ", ".join(map(str, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
