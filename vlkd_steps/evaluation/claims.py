"""A preset's claims, tested on its runs: a row for each data set, student and evaluation set that a claim names."""

import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vlkd_steps.config.models.claim import Claim
from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.core import json_text
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation.contrasts import Evidence, Term, mean_gain, slope
from vlkd_steps.evaluation.scores import folder
from vlkd_steps.evaluation.significance import Gain, Side, p_value
from vlkd_steps.evaluation.verdicts import CONTRADICTED, HELD, NOT_DECIDED, SUPPORTED, RowTest, verdicts

SIGNS = {"above": ">", "below": "<", "either": "differs from"}


@dataclass(frozen=True)
class Row:
    """One claim on one data set, student and evaluation set.

    Attributes:
        claim: its name in the preset.
        contrast: what is compared, whatever the claim is called: a primary row has one of its own.
        found: points with their interval; None where the claim is not about points, or nothing was run.
        per_cent: whether the points are percent of the reference's number, those of a measure.
        relative: the gain in percent of what it is a gain over.
        stated: the same from the paper.
        p: against the row's own null hypothesis.
        p_adjusted: after the correction over the rows of its level.
        verdict: one of `verdicts.WORDS`.
        reason: why there is no verdict, where the runs are the reason.
    """

    claim: str
    level: str
    text: str
    experiment: str
    dataset: str
    student: str
    evaluation_set: str
    shots: tuple[str, ...]
    contrast: tuple[str, ...]
    found: Gain | None = None
    per_cent: bool = False
    relative: float | None = None
    stated: float | None = None
    seeds: tuple[int, ...] = ()
    p: float | None = None
    p_against: float | None = None
    towards: bool = True
    p_adjusted: float | None = None
    verdict: str = ""
    reason: str = ""
    note: str = ""
    run_keys: tuple[str, ...] = ()


def evaluate(evidence: Evidence, claims: Mapping[str, Claim], datasets: Mapping[str, Dataset]) -> list[Row]:
    """The rows of an experiment's claims, still without verdicts (`judged`).

    Args:
        datasets: configurations by name; of a data set that params.yaml leaves out there is none, and no run.
    """
    return [
        _tensors(evidence, claim, row) if claim.test == "same_tensors" else _tested(evidence, claim, row)
        for name, claim in claims.items()
        for row in _rows(evidence, name, claim, datasets)
    ]


def judged(rows: Sequence[Row]) -> list[Row]:
    """The rows with their verdicts, primary ones first, corrected over all of them.

    Raises:
        UserError: primary rows of two experiments are about the same contrast, be it at other shots.
    """
    _check_contrasts([row for row in rows if row.level == "primary"])
    open_rows = [row for row in rows if not row.verdict]
    tests = [
        RowTest(row.level == "primary", None if row.reason else row.p, row.p_against, row.towards) for row in open_rows
    ]
    words = iter(verdicts(tests))
    found = []
    for row in rows:
        if not row.verdict:
            word, p = next(words)
            row = replace(row, verdict=word, p_adjusted=p)
        found.append(row)
    return sorted(found, key=lambda row: row.level != "primary")


def _check_contrasts(primary: Sequence[Row]) -> None:
    for row, other in itertools.combinations(primary, 2):
        if row.contrast == other.contrast and row.experiment != other.experiment:
            raise UserError(
                f"{row.experiment} and {other.experiment} both have the primary claim {row.text} on {row.dataset} "
                f"{row.evaluation_set} ({row.claim}, {other.claim}); name one of the experiments, or make one claim "
                "secondary"
            )


def _rows(evidence: Evidence, name: str, claim: Claim, datasets: Mapping[str, Dataset]) -> Iterator[Row]:
    text = claim.text or in_words(claim, evidence.label(claim.variant), evidence.label(claim.reference))
    sets = claim.set if claim.test != "same_tensors" else ("",)
    for dataset in claim.dataset:
        stated = (claim.stated or {}).get(datasets[dataset].task) if dataset in datasets else None
        for student in claim.student or evidence.values("student", dataset=dataset) or ("",):
            for evaluation_set in sets:
                contrast = (
                    claim.test, claim.direction, f"{claim.margin:g}", claim.variant, claim.reference,
                    *((claim.metric,) if claim.metric else ()),
                    *(f"{shot}: {pair.variant} {pair.reference}" for shot, pair in claim.by_shot.items()),
                    dataset, student, evaluation_set,
                )  # fmt: skip
                yield Row(
                    name, claim.level, text, evidence.experiment, dataset, student, evaluation_set, claim.shots,
                    contrast, per_cent=claim.test == "measure", stated=stated, note=claim.note or "",
                )  # fmt: skip


def in_words(claim: Claim, ours: str, reference: str) -> str:
    """What is tested, for a claim without a text of its own.

    Args:
        ours, reference: names of the variants.
    """
    if claim.test == "same_tensors":
        return f"{ours} and {reference} have tensors of the same names and shapes"
    if claim.test == "slope":
        changes = {"above": "rises", "below": "falls", "either": "changes"}[claim.direction]
        return f"the gain of {ours} over {reference} {changes} with n"
    if claim.test == "measure":
        ours, reference = f"{claim.metric} of {ours}", f"that of {reference}"
    text = f"{ours} {SIGNS[claim.direction]} {reference}"
    if not claim.margin:
        return text
    unit = "%" if claim.test == "measure" else "points"
    return f"{text} {'-' if claim.direction == 'above' else '+'} {claim.margin:g} {unit}"


def _terms(claim: Claim) -> list[Term]:
    pairs = {shot: claim.pair(shot) for shot in claim.shots}
    ours = {shot: pair.variant for shot, pair in pairs.items()}
    references = {shot: pair.reference for shot, pair in pairs.items()}
    return slope(ours, references) if claim.test == "slope" else mean_gain(ours, references)


def _tested(evidence: Evidence, claim: Claim, row: Row) -> Row:
    """A row with its gain or slope, and the p value of its own null hypothesis."""
    terms = _terms(claim)
    if reason := evidence.lacking(row.dataset, row.student, row.evaluation_set, terms):
        return replace(row, reason=reason)
    if claim.metric is None:
        contrast = evidence.contrast(row.dataset, row.student, row.evaluation_set, terms)
    else:
        contrast = evidence.measured(row.dataset, row.student, row.evaluation_set, claim.metric, terms)
    if contrast is None:
        return replace(row, reason="the runs have no seed in common")
    found, null = contrast.found, -claim.margin if claim.direction == "above" else claim.margin
    if claim.margin:
        other: Side = "below" if claim.direction == "above" else "above"
        p, against = p_value(found, null, claim.direction), p_value(found, null, other)
    else:
        p = against = found.p
    towards = claim.direction == "either" or (found.gain > null if claim.direction == "above" else found.gain < null)
    reason = ""
    if len(contrast.seeds) < claim.seeds:
        reason = f"{len(contrast.seeds)} seeds of the {claim.seeds} that a verdict takes"
    elif p is None:
        reason = "no interval: one image, or differences that do not vary"
    relative = 100 * found.gain / contrast.base if claim.test == "gain" and contrast.base else None
    return replace(
        row, found=found, relative=relative, seeds=tuple(contrast.seeds), p=p, p_against=against, towards=towards,
        reason=reason, run_keys=tuple(contrast.run_keys),
    )  # fmt: skip


def _tensors(evidence: Evidence, claim: Claim, row: Row) -> Row:
    """A row whose trained students were compared tensor by tensor: a fact, so there is no p value.

    All pairs of runs of all shots have to be there.
    """
    compared, missing, different = 0, 0, ""
    keys: set[str] = set()
    seeds: set[int] = set()
    for shot in claim.shots:
        pair = claim.pair(shot)
        place = {"dataset": row.dataset, "student": row.student, "shot": shot}
        of_variant = evidence.values("seed", **place, variant=pair.variant)
        of_reference = evidence.values("seed", **place, variant=pair.reference)
        missing += not of_variant and not of_reference
        for seed in sorted({*of_variant, *of_reference}):
            variants = (pair.variant, pair.reference)
            paths = [_weights(evidence, place | {"variant": name, "seed": seed}) for name in variants]
            if all(path.is_file() for path in paths):
                compared += 1
                seeds.add(seed)
                for name in variants:
                    keys.update(evidence.values("run_key", **place, seed=seed, variant=name))
                own, plain = map(tensors, paths)
                different = different or ("" if own == plain else str(paths[0]))
            else:
                missing += 1
    row = replace(row, run_keys=tuple(sorted(keys)), seeds=tuple(sorted(seeds)))
    if different:
        return replace(row, verdict=CONTRADICTED, reason=f"{different} has other tensors")
    if missing or not compared:
        return replace(row, verdict=NOT_DECIDED, reason=f"{compared} pairs of runs have weights, {missing} lack them")
    word = HELD if row.level == "primary" else SUPPORTED
    return replace(row, verdict=word, reason=f"equal names and shapes in {compared} pairs of runs")


def _weights(evidence: Evidence, run: Mapping[str, str | int]) -> Path:
    return folder(evidence.experiment, run) / "model.safetensors"


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
        remedy = "delete its run's folder and start snakemake again"
        raise UserError(f"{path} is no safetensors file ({error}); {remedy}") from error
