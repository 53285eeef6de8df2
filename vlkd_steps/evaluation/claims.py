"""The papers' claims, tested on an experiment's runs: each held, not held or not decided, with its interval."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.core import json_text
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation.contrasts import Contrast, Evidence, mean_gain, slope
from vlkd_steps.evaluation.gains import folder
from vlkd_steps.evaluation.significance import Gain, holm

MARGIN = 2.0  # points that a method may lose at full data and still be called no loss
SEEDS_FOR_NO_LOSS = 10
ORDINARY = ("dev", "test", "hypothesis_easy")  # no shifts; the last is what hypothesis_hard leaves of test
STUDENT_ALONE = ("naive_kd", "clip_td", "mad")  # methods that leave the student as it is

TEXTS = {
    1: "clip_td > finetune, low-shot",
    2: "the gain of clip_td falls with n",
    3: "clip_td > naive_kd, low-shot",
    4: "clip_td > finetune, under shift",
    5: "no loss at full data",
    6: "nothing added at inference",
    7: "mad > finetune, low-shot",
    8: "mad > plug_in, low-shot",
    9: "what each component adds",
}


@dataclass(frozen=True)
class Claim:
    """One claim on one data set.

    Attributes:
        number: its key in `TEXTS`.
        text: what is claimed.
        where: data set, student and evaluation set.
        shots: training questions that it is a mean (or a slope) over.
        found: points with their interval; None where the claim is not about points, or nothing was run.
        relative: the gain in per cent of what it is a gain over.
        papers: the same from the papers' abstract, where it is stated.
        verdict: ``held``, ``not held: ...`` or ``not decided: ...``.
    """

    number: int
    text: str
    experiment: str
    where: str
    shots: tuple[str, ...]
    verdict: str
    found: Gain | None = None
    relative: float | None = None
    papers: float | None = None
    seeds: tuple[int, ...] = ()
    p_holm: float | None = None
    run_keys: tuple[str, ...] = field(default=())


def evaluate(evidence: Evidence, datasets: Mapping[str, Dataset]) -> list[Claim]:
    """Every claim that the experiment has runs for, with Holm's adjustment over all that have a p value.

    Args:
        datasets: configurations by name, for task and roles.
    """
    found: list[Claim] = []
    for dataset in evidence.values("dataset"):
        for student in evidence.values("student", dataset=dataset):
            found += _of_student(evidence, datasets[dataset], student)
    return found


def adjusted(claims: Sequence[Claim]) -> list[Claim]:
    """The claims in order of their numbers, with Holm's adjustment over the whole table; none is left out silently."""
    there = {claim.number for claim in claims}
    absent = [Claim(n, text, "", "", (), "not decided: not run") for n, text in TEXTS.items() if n not in there]
    ordered = sorted([*claims, *absent], key=lambda claim: claim.number)
    values = holm([claim.found.p if claim.found else None for claim in ordered])
    return [replace(claim, p_holm=value) for claim, value in zip(ordered, values, strict=True)]


def _of_student(evidence: Evidence, conf: Dataset, student: str) -> Iterator[Claim]:
    """The claims on one data set and student."""
    dataset = conf.name
    here = _Place(evidence, dataset, student, conf.task)
    variants = evidence.values("variant", dataset=dataset, student=student)
    sets = evidence.values("evaluation_set", dataset=dataset, student=student)
    if is_shift(conf):
        yield from here.better(4, "clip_td", "finetune", "test", f"under shift ({dataset})", "shift")
    else:
        yield from here.better(1, "clip_td", "finetune", "test", "low-shot", "low-shot")
        yield from here.slopes(variants)
        yield from here.better(3, "clip_td", "naive_kd", "test", "low-shot")
        for name in sets:
            if name not in ORDINARY:
                yield from here.better(4, "clip_td", "finetune", name, f"under shift ({name})", "shift")
        for variant in ("clip_td", "mad"):
            yield from here.no_loss(variant)
        yield from here.better(7, "mad", "finetune", "test", "low-shot")
        yield from here.better(8, "mad", "plug_in", "test", "low-shot; plug_in keeps its teacher at inference")
        changed = [v for v in variants if v not in ("clip_td", "clip_td_core") and not v.endswith("_fixed")]
        for variant in changed:
            if here.describes(variant) == here.describes("clip_td"):
                yield from here.better(9, "clip_td", variant, "test", "what the component adds")
    yield from here.nothing_added()


def is_shift(conf: Dataset) -> bool:
    """A data set whose training and test set differ by design."""
    return bool(conf.resplit) or "rule" in (conf.files.get("train") or {}) or "_cp" in conf.name


@dataclass(frozen=True)
class _Place:
    """A data set and a student of an experiment."""

    evidence: Evidence
    dataset: str
    student: str
    task: str

    def describes(self, variant: str) -> list[list[Any]]:
        """Method and teacher of a variant."""
        place = {"dataset": self.dataset, "student": self.student, "variant": variant}
        return [self.evidence.values(column, **place) for column in ("method", "teacher")]

    def shots(self, *variants: str) -> tuple[str, ...]:
        """The shots, not full, that all these variants have."""
        return tuple(shot for shot in self.all_shots(*variants) if shot != "full")

    def all_shots(self, *variants: str) -> tuple[str, ...]:
        of = [
            self.evidence.values("shot", dataset=self.dataset, student=self.student, variant=variant)
            for variant in variants
        ]
        return tuple(shot for shot in of[0] if all(shot in each for each in of))

    def better(
        self, number: int, variant: str, reference: str, evaluation_set: str, how: str, papers: str = ""
    ) -> Iterator[Claim]:
        """`variant` has more than `reference`, the mean over the low shots."""
        shots = self.shots(variant, reference)
        if not shots:
            return
        terms = mean_gain(variant, reference, shots)
        found = self.evidence.contrast(self.dataset, self.student, evaluation_set, terms)
        text = f"{self.evidence.label(variant)} > {self.evidence.label(reference)}, {how}"
        yield self._claim(number, text, evaluation_set, shots, found, _above(found), papers, relative=True)

    def slopes(self, variants: Sequence[str]) -> Iterator[Claim]:
        """The gain of clip_td falls with log n: with the preset's steps, and with fixed ones where there are any."""
        shots = [shot for shot in self.shots("clip_td", "finetune") if shot.isdigit()]
        if len(shots) < 3:
            return
        for fixed in (False, True):
            pair = []
            for name in ("clip_td", "finetune"):
                other = self.all_shots(f"{name}_fixed") if fixed and f"{name}_fixed" in variants else ()
                pair.append({shot: f"{name}_fixed" if shot in other else name for shot in shots})
            if fixed and not any(name.endswith("_fixed") for name in pair[0].values()):
                return
            found = self.evidence.contrast(self.dataset, self.student, "test", slope(pair[0], pair[1]))
            steps = "the same steps at every n" if fixed else "steps as the preset has them"
            text = f"the gain of clip_td falls with n ({steps}); points for ten times the data"
            yield self._claim(2, text, "test", tuple(shots), found, _below(found))

    def no_loss(self, variant: str) -> Iterator[Claim]:
        """At full data `variant` loses less than the margin; this takes ten seeds to decide."""
        if "full" not in self.all_shots(variant, "finetune"):
            return
        found = self.evidence.contrast(self.dataset, self.student, "test", mean_gain(variant, "finetune", ["full"]))
        text = f"{variant} loses nothing at full data (margin {MARGIN:g} points)"
        paper = "full" if variant == "clip_td" else ""
        yield self._claim(5, text, "test", ("full",), found, _no_loss(found), paper, relative=True)

    def nothing_added(self) -> Iterator[Claim]:
        """The trained students of a method have the tensors of finetune's, name by name and shape by shape.

        One claim for all methods for which it holds, and one for each method for which it does not.
        """
        held, pairs = [], 0
        of_held: set[str] = set()
        for variant in STUDENT_ALONE:
            compared, keys, different = self._compared(variant)
            if different:
                verdict = f"not held: {different} has other tensors"
                claim = self._claim(6, f"{variant}: {TEXTS[6]}", "", (), None, verdict)
                yield replace(claim, run_keys=tuple(sorted(keys)))
            elif compared:
                held.append(variant)
                pairs += compared
                of_held |= keys
        if held:
            text = f"{', '.join(held)}: {TEXTS[6]}, equal names and shapes of tensors in {pairs} pairs of runs"
            yield replace(self._claim(6, text, "", (), None, "held"), run_keys=tuple(sorted(of_held)))

    def _compared(self, variant: str) -> tuple[int, set[str], str]:
        """Pairs of runs of `variant` and finetune, their keys, and the first student with other tensors or ""."""
        compared, different = 0, ""
        keys: set[str] = set()
        for shot in self.all_shots(variant, "finetune"):
            place = {"dataset": self.dataset, "student": self.student, "shot": shot}
            for seed in self.evidence.values("seed", **place, variant=variant):
                paths = [self._weights(name, shot, seed) for name in (variant, "finetune")]
                if all(path.is_file() for path in paths):
                    compared += 1
                    for name in (variant, "finetune"):
                        keys.update(self.evidence.values("run_key", **place, seed=seed, variant=name))
                    own, plain = map(tensors, paths)
                    different = different or ("" if own == plain else str(paths[0]))
        return compared, keys, different

    def _weights(self, variant: str, shot: str, seed: int) -> Path:
        run = {"dataset": self.dataset, "student": self.student, "variant": variant, "shot": shot, "seed": seed}
        return folder(self.evidence.experiment, run) / "model.safetensors"

    def _claim(
        self,
        number: int,
        text: str,
        evaluation_set: str,
        shots: tuple[str, ...],
        found: Contrast | None,
        verdict: str,
        papers: str = "",
        relative: bool = False,
    ) -> Claim:
        where = " ".join(filter(None, (self.dataset, self.student, evaluation_set)))
        claim = Claim(number, text, self.evidence.experiment, where, shots, verdict)
        if found is None:
            return claim
        share = 100 * found.found.gain / found.base if relative and found.base else None
        paper = tasks.load(self.task).stated_gains.get(papers)
        keys, seeds = tuple(found.run_keys), tuple(found.seeds)
        return replace(claim, found=found.found, relative=share, papers=paper, seeds=seeds, run_keys=keys)


def tensors(path: Path) -> dict[str, list[int]]:
    """Names and shapes of a safetensors file, from its header.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with path.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            if size > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = json_text.loads(stream.read(size).decode("utf-8"))
            return {name: tensor["shape"] for name, tensor in sorted(header.items()) if name != "__metadata__"}
    except (struct.error, ValueError, AttributeError, TypeError, KeyError) as error:
        raise UserError(f"{path} is no safetensors file ({error}); train the run again") from error


def _judged(contrast: Contrast | None, judge: Callable[[float, float], str]) -> str:
    """The verdict of `judge` on the interval, where there is one."""
    if contrast is None:
        return "not decided: the runs have no seed in common"
    low, high = contrast.found.low, contrast.found.high
    if low is None or high is None:
        return "not decided: no interval (it takes two seeds or more, and differences that vary)"
    return judge(low, high)


def _above(contrast: Contrast | None) -> str:
    def judge(low: float, high: float) -> str:
        if low > 0:
            return "held"
        return "not held: the interval lies below 0" if high < 0 else "not decided: the interval holds 0"

    return _judged(contrast, judge)


def _below(contrast: Contrast | None) -> str:
    def judge(low: float, high: float) -> str:
        if high < 0:
            return "held"
        return "not held: the interval lies above 0" if low > 0 else "not decided: the interval holds 0"

    return _judged(contrast, judge)


def _no_loss(contrast: Contrast | None) -> str:
    def judge(low: float, high: float) -> str:
        if high < -MARGIN:
            return f"not held: the whole interval lies below -{MARGIN:g}"
        if contrast and len(contrast.seeds) < SEEDS_FOR_NO_LOSS:
            return f"not decided: {len(contrast.seeds)} seeds of the {SEEDS_FOR_NO_LOSS} that it takes"
        return "held" if low > -MARGIN else f"not decided: the interval reaches below -{MARGIN:g}"

    return _judged(contrast, judge)
