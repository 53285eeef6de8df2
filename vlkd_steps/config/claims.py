"""A preset's ``claims``: completed from the lists that they extend, validated, and checked against what is crossed."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vlkd_steps.config import conf_files, member_names
from vlkd_steps.config.members import Origin
from vlkd_steps.config.models.claim import Claim, ClaimList, Pair
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.config.models.extra_evals import ItemsOfASet
from vlkd_steps.config.models.preset import Grid
from vlkd_steps.config.validation import shown, validated
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError

GROUP = "claims"


def checked(
    c: Composition, origin: Origin, blocks: Sequence[Grid], swept: Collection[str] = ()
) -> tuple[dict[str, Claim], list[str]]:
    """The claims of a composed preset, by name, and the names of those that are left out; one that is null is none.

    Args:
        blocks: all that the preset crosses, also where params.yaml takes a part of it: a claim about runs that are
            left out is not tested, and no mistake.
        swept: the variants that params.yaml sweeps: a claim about all of such a one is left out.

    Raises:
        UserError: an invalid value; a list, variant, data set, student, set or shot that does not exist; runs that the
            grid does not have; a primary claim with several rows for one task, or the same as another one.
    """
    own = origin.conf.chain("experiment", origin.experiment)[-1].called
    found, left_out = {}, []
    for name, given in (c.preset.claims or {}).items():
        where = f"claims.{name}"
        try:
            if given is not None and _of_many(c, given, where, origin, swept):
                left_out.append(name)
            elif given is not None:
                found[name] = _checked(c, given, where, origin, blocks)
        except UserError as error:
            if origin(where)[0] == own:
                raise
            raise UserError(f"{error}; or leave this claim out of {own}: claims: {{{name}: null}}") from None
    _check_twice(found, origin)
    return found, left_out


def _of_many(c: Composition, given: Mapping[str, Any], where: str, origin: Origin, swept: Collection[str]) -> bool:
    """Whether a claim names a variant that is several, or other ones, by the sweep of params.yaml."""
    if not swept:
        return False
    claim = validated(Claim, _extended(given, where, origin), where, origin)
    named = {name for shot in claim.shots for name in claim.pair(shot).model_dump().values()}
    return any(name.partition("[")[0] in swept and len(_fitting(c, name)) != 1 for name in named)


def _checked(c: Composition, given: Mapping[str, Any], where: str, origin: Origin, blocks: Sequence[Grid]) -> Claim:
    claim = _named(c, validated(Claim, _extended(given, where, origin), where, origin), where, origin)
    _check_names(c, claim, where, origin, blocks)
    _check_runs(claim, where, origin, blocks)
    _check_primary(c, claim, where, origin, blocks)
    return claim


def _extended(given: Mapping[str, Any], where: str, origin: Origin) -> Mapping[str, Any]:
    """A claim with what the claim that it extends says."""
    if "extends" not in given:
        return given
    list_name, _, claim = str(given["extends"]).partition(".")
    if list_name not in origin.conf.options(GROUP):
        near = nearest(list_name, origin.conf.options(GROUP))
        raise origin.mistake(f"{where}.extends", f"is {shown(given['extends'])}; there is no such list; {near}")
    called = origin.conf.chain(GROUP, list_name)[-1].called
    listed = origin.conf.merged(GROUP, list_name)
    validated(ClaimList, listed, "", lambda key: (called, key))
    if claim not in listed["claims"]:
        near = nearest(claim, listed["claims"])
        raise origin.mistake(f"{where}.extends", f"is {shown(given['extends'])}; {called} has no such claim; {near}")
    return conf_files.merge(listed["claims"][claim], given)


def _named(c: Composition, claim: Claim, where: str, origin: Origin) -> Claim:
    """The claim with the names of variants for labels of a sweep's members.

    Raises:
        UserError: a label that several members fit.
    """

    def renamed(pair: Pair, at: str) -> dict[str, str]:
        return {key: _member(c, name, f"{at}.{key}", origin) for key, name in pair.model_dump().items()}

    by_shot = {shot: Pair(**renamed(pair, f"{where}.by_shot.{shot}")) for shot, pair in claim.by_shot.items()}
    own = renamed(Pair(variant=claim.variant, reference=claim.reference), where)
    return claim.model_copy(update={**own, "by_shot": by_shot})


def _member(c: Composition, name: str, where: str, origin: Origin) -> str:
    """The one variant that a name or a label means."""
    fitting = _fitting(c, name)
    if len(fitting) > 1:
        raise origin.mistake(where, member_names.not_one(name, [c.label(each) for each in fitting]))
    return fitting[0] if fitting else name


def _fitting(c: Composition, label: str) -> list[str]:
    """The members of a sweep that a label fits."""
    return [each for each, of in c.members.items() if label in member_names.labels(of.variant, of.swept)]


def _check_names(c: Composition, claim: Claim, where: str, origin: Origin, blocks: Sequence[Grid]) -> None:
    for key in ("variant", "reference"):
        origin.one_of(f"{where}.{key}", getattr(claim, key), list(c.variants), "variant")
        for shot, pair in claim.by_shot.items():
            origin.one_of(f"{where}.by_shot.{shot}.{key}", getattr(pair, key), list(c.variants), "variant")
    for key, what in (
        ("dataset", "data set in the grid"),
        ("student", "student in the grid"),
        ("shot", "shot in the grid"),
    ):
        there = list(dict.fromkeys(str(value) for block in blocks for value in getattr(block, key)))
        for value in getattr(claim, key) or ():
            origin.one_of(f"{where}.{key}", str(value), there, what)
    for dataset in claim.dataset if claim.test != "same_tensors" else ():
        if dataset in c.datasets:
            extra = c.extra_evals.get(dataset, {})
            sets = [name for name, conf in extra.items() if isinstance(conf, ItemsOfASet)]
            if claim.test == "measure":
                there, what = [name for name in extra if name not in sets], f"measure of {dataset}"
            else:
                there, what = [*c.datasets[dataset].evaluation_sets, *sets], f"evaluation set of {dataset}"
            for name in claim.set:
                origin.one_of(f"{where}.set", name, there, what)


def _check_runs(claim: Claim, where: str, origin: Origin, blocks: Sequence[Grid]) -> None:
    """Check that the grid has the runs that the claim compares."""
    for dataset in claim.dataset:
        shared: set[str] | None = None
        for shot in claim.shots:
            for variant in claim.pair(shot).model_dump().values():
                wanted = {"dataset": dataset, "variant": variant, "shot": shot}
                students = [block.student for block in blocks if all(
                    value in map(str, getattr(block, key)) for key, value in wanted.items()
                )]  # fmt: skip
                there = {student for names in students for student in names}
                if not there or set(claim.student or ()) - there:
                    raise origin.mistake(
                        where,
                        f"compares {variant} on {dataset} at {shot}, which the grid does not run; add it there, or "
                        "take it out of the claim",
                    )
                shared = there if shared is None else shared & there
        if not shared:
            raise origin.mistake(
                where,
                f"compares runs on {dataset} that no student of the grid has all of; give one of them all the variants "
                "and shots of the claim",
            )


def _check_primary(c: Composition, claim: Claim, where: str, origin: Origin, blocks: Sequence[Grid]) -> None:
    """Check that a primary claim has one row for each task."""
    if claim.level != "primary" or claim.test == "same_tensors":
        return
    students = claim.student or tuple(dict.fromkeys(name for block in blocks for name in block.student))
    tasks = [c.datasets[name].task for name in claim.dataset if name in c.datasets]
    twice = next((task for task in tasks if tasks.count(task) > 1), None)
    if len(students) > 1 or twice:
        several = f"several data sets of task {twice}" if twice else f"several students ({', '.join(students)})"
        raise origin.mistake(
            where,
            f"is primary and names {several}; a primary claim has one row for each task: name one, or write "
            "level: secondary",
        )


def _check_twice(claims: Mapping[str, Claim], origin: Origin) -> None:
    """Check that no row is a primary one twice: Holm's correction would count it twice."""
    primary = [(name, claim) for name, claim in claims.items() if claim.level == "primary"]
    for (first, one), (second, other) in itertools.combinations(primary, 2):
        apart = one.student and other.student and not set(one.student) & set(other.student)
        alike = one.compared == other.compared and one.set == other.set and set(one.dataset) & set(other.dataset)
        if alike and not apart:
            raise origin.mistake(
                f"claims.{second}", f"is the same primary claim as {first}; delete one, or write level: secondary"
            )
