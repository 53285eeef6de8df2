"""Runs all measurements, writes their results and prints a page."""

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vlkd_steps.core import files, hardware
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.step import log
from vlkd_steps.gpu_bench import alignment, card, checks, distillation, extraction, results, timing
from vlkd_steps.gpu_bench.cases import FULL, TINY, Cases
from vlkd_steps.gpu_bench.results import Line


@dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Attributes:
        tiny: small models instead of paper-size ones.
        seconds: the duration of each timing.
    """

    device: torch.device
    precision: str
    tiny: bool
    seconds: float

    @property
    def cases(self) -> Cases:
        return TINY if self.tiny else FULL


def run(settings: Settings, out: Path) -> list[checks.Check]:
    """Measure, write `out` (JSON), print the tables and return the checks.

    The file is written after each case, and one for which memory is too small is left out, so that no other is lost.
    """
    begun = time.monotonic()
    lines: list[Line] = []
    found: list[checks.Check] = []
    skipped: list[str] = []
    about = described(settings)
    log.info("%s, %s", about["card"], settings.precision)

    def measured(name: str, into: list[Any], measure: Callable[[], Iterator[Any]]) -> None:
        log.info("%4.0f s  %s", time.monotonic() - begun, name)
        try:
            with timing.fitting():
                into.extend(measure())  # what was found before memory ran out is in the list
        except torch.OutOfMemoryError as error:
            skipped.append(f"{name}: {str(error).splitlines()[0]}")
        results_so_far = {
            "seconds": round(time.monotonic() - begun, 1),
            "lines": [line.described() for line in lines],
            "checks": [asdict(check) for check in found],
            "skipped": skipped,
        }
        files.write_json(out, about | results_so_far)

    for name, measure in cases(settings):
        measured(name, lines, measure)
    case, losses = settings.cases.students[0], 50 if settings.tiny else 200
    device, precision, seconds = settings.device, settings.precision, settings.seconds
    measured("checks", found, partial(checks.all_of, case, device, precision, seconds, losses))
    clip_td = next((line for line in lines if line.name == f"{case.name}, clip_td"), None)
    if clip_td:
        arguments = [device.type, precision, str(seconds), "tiny" if settings.tiny else "full"]
        alone = clip_td.items / clip_td.seconds
        measured("two processes", found, lambda: iter([checks.together(case, device, alone, arguments)]))
    log.info("%s", page(about, lines, found, skipped))
    log.info("\n%.0f s; the results are in %s", time.monotonic() - begun, out)
    return found


def cases(settings: Settings) -> Iterator[tuple[str, Callable[[], Iterator[Line]]]]:
    """Each case's name, and the function that measures it."""
    device, precision, seconds = settings.device, settings.precision, settings.seconds
    for teacher in settings.cases.teachers:
        yield teacher.name, partial(extraction.measured, teacher, device, precision, seconds)
    for student in settings.cases.students:
        accelerator = checks.accelerated(device, precision)
        yield student.name, partial(distillation.measured, student, accelerator, seconds)
    for writer in settings.cases.writers:
        accelerator = checks.accelerated(device, precision)
        yield writer.name, partial(alignment.measured, writer, accelerator, seconds)


def described(settings: Settings) -> dict[str, Any]:
    """The machine and the settings."""
    found = card.of(settings.device, settings.precision)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "card": found.name,
        "memory": found.memory,
        "peak": found.peak,
        "peak_source": found.source,
        "precision": settings.precision,
        "tiny": settings.tiny,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if settings.device.type == "cuda" else None,
        "python": platform.python_version(),
    }


def page(about: dict[str, Any], lines: list[Line], found: list[checks.Check], skipped: list[str]) -> str:
    """The results as Markdown, for docs/gpu.md."""
    head = (
        f"{about['card']}, {about['precision']}, peak {about['peak'] / 1e12:.3g} TFLOP/s ({about['peak_source']}), "
        f"torch {about['torch']}, {about['date'][:10]}"
    )
    said = [f"- {check.name}: {check.found}{'' if check.good is not False else ' (WRONG)'}" for check in found]
    left_out = [f"- not measured: {each}" for each in skipped]
    return "\n".join(["", head, "", results.table(lines), "", *said, *left_out])


def settings(device: str, precision: str, tiny: bool, seconds: float) -> Settings:
    """The settings, resolved for this hardware.

    Raises:
        UserError: there is no such device, or paper-size models are to run on a CPU.
    """
    resolved = hardware.resolve_device(device, "--device")
    precision = hardware.resolve_precision(precision, resolved, "--precision")
    if resolved == "cpu":
        torch.set_num_threads(1)
    if resolved == "cpu" and not tiny:
        raise UserError(
            "paper-size models take hours on a CPU; start this on a machine with a GPU, or add --tiny, which runs the "
            "same code on small models"
        )
    return Settings(torch.device(resolved), precision, tiny, seconds)
