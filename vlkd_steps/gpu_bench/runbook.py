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
from vlkd_steps.gpu_bench import alignment, card, checks, distillation, extraction, results
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

    The file is written after each case, so that running out of memory loses no earlier results.
    """
    begun = time.monotonic()
    lines: list[Line] = []
    found: list[checks.Check] = []
    skipped: list[str] = []
    about = described(settings)
    log.info("%s, %s", about["card"], settings.precision)

    def written() -> None:
        files.write_json(
            out,
            about
            | {
                "seconds": round(time.monotonic() - begun, 1),
                "lines": [line.described() for line in lines],
                "checks": [asdict(check) for check in found],
                "skipped": skipped,
            },
        )

    for name, measure in cases(settings):
        log.info("%4.0f s  %s", time.monotonic() - begun, name)
        try:
            lines.extend(measure())
        except torch.OutOfMemoryError as error:
            skipped.append(f"{name}: {str(error).splitlines()[0]}")
        written()
    case = (TINY if settings.tiny else FULL).students[0]
    log.info("%4.0f s  checks", time.monotonic() - begun)
    found.extend(
        checks.all_of(case, settings.device, settings.precision, settings.seconds, 50 if settings.tiny else 200)
    )
    clip_td = next((line for line in lines if line.name == f"{case.name}, clip_td"), None)
    if clip_td:
        size = "tiny" if settings.tiny else "full"
        arguments = [settings.device.type, settings.precision, str(settings.seconds), size]
        found.append(checks.together(case, settings.device, clip_td.items / clip_td.seconds, arguments))
    written()
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
    resolved = hardware.resolve_device(device)
    if resolved == "cpu":
        torch.set_num_threads(1)
    if resolved == "cpu" and not tiny:
        raise UserError(
            "paper-size models take hours on a CPU; start this on a machine with a GPU, or add --tiny, which runs the "
            "same code on small models"
        )
    return Settings(torch.device(resolved), hardware.resolve_precision(precision, resolved), tiny, seconds)
