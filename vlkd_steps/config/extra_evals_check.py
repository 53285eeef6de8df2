"""What a run is asked once it is trained: its data set's evaluation sets and, by a preset's ``asks``, other sets.

An experiment's ``asks`` are, for a data set that runs train on, named questions to those runs::

    asks:
      scenes_wide_captions:
        vqa_open: {dataset: scenes_vqa, set: test, images: 500}                   # in words of its own
        vqa_listed: {dataset: scenes_vqa, set: test, images: 500, answers: listed}  # one of the data set's answers
        retrieval: {measure: retrieval, dataset: scenes_wide_captions, set: test}
        kept_texts: {measure: kept_ability}

The name stands where an evaluation set's stands: in file names, tables and MLflow. ``images`` takes the items of so
many images, chosen by a hash; ``prompt``, ``beams`` and ``most_tokens`` say how it is asked; ``lead: true`` puts it
first in tables and on the page. A ``measure`` is no set of
items: it is a number or more of the run as a whole.
"""

from collections.abc import Mapping
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError

OF_ITEMS = {"dataset", "set", "images", "prompt", "answers", "beams", "most_tokens", "lead"}
OF_MEASURES = {
    "retrieval": {"dataset", "set", "images"},
    "kept_ability": {"size"},
    "glue": {"folder", "size"},
    "xsum": {"folder", "size"},
}
"""Measure -> the keys that it may have beside ``measure``."""


def asked_of(c: Mapping[str, Any], dataset: str) -> dict[str, dict[str, Any]]:
    """The asks of the composition `c` for runs on a data set, with their items' task and training split."""
    found = {}
    for name, ask in ((c.get("asks") or {}).get(dataset) or {}).items():
        of = c["datasets"].get(ask.get("dataset")) or {}
        train = (of.get("roles") or {}).get("train", {}).get("split")
        found[name] = {**ask, **({"task": of["task"], "train": train} if of else {})}
    return found


def splits(c: Mapping[str, Any], dataset: str) -> list[tuple[str, str]]:
    """The (data set, evaluation set) that runs on `dataset` are asked beside its own, each once."""
    asks = asked_of(c, dataset).values()
    return list(dict.fromkeys((ask["dataset"], ask["set"]) for ask in asks if ask.get("dataset")))


def check(c: Mapping[str, Any]) -> None:
    """Refuse asks that cannot be put.

    Raises:
        UserError: an unknown key, measure or evaluation set, a task that is not answered in words, a bad number.
    """
    for trained_on in c["grid"]["dataset"]:
        for name, ask in ((c.get("asks") or {}).get(trained_on) or {}).items():
            where = f"experiment {c['experiment']}: asks.{trained_on}.{name}"
            _check_keys(ask, where)
            if name in c["datasets"][trained_on]["evaluation_sets"]:
                raise UserError(f"{where}: {trained_on} has an evaluation set of this name; choose another")
            if "dataset" not in ask:
                continue
            conf = c["datasets"][ask["dataset"]]
            one_of(ask.get("set") or "", conf["roles"], f"{where}.set")
            if not tasks.load(conf["task"]).in_words:
                told = f"is a set of task {conf['task']}, which is not answered in words"
                raise UserError(f"{where}: {ask['dataset']} {told}; ask one of {' or '.join(tasks.in_words())}")


def _check_keys(ask: Mapping[str, Any], where: str) -> None:
    if "measure" in ask:
        one_of(ask["measure"], OF_MEASURES, f"{where}.measure")
    known = OF_MEASURES[ask["measure"]] | {"measure"} if "measure" in ask else OF_ITEMS
    for key in ask:
        if key not in known:
            raise UserError(f"{where} has unknown key {key!r}; {nearest(key, known)}")
    for key in {"dataset", "set"} & known:
        if key not in ask:
            raise UserError(f"{where} lacks {key}; write which evaluation set of which data set is asked")
    for key in ("images", "beams", "most_tokens", "size"):
        if key in ask and (not isinstance(ask[key], int) or isinstance(ask[key], bool) or ask[key] < 1):
            raise UserError(f"{where}.{key} is {ask[key]!r}; write a whole number, 1 or more")
    if not isinstance(ask.get("lead", False), bool):
        raise UserError(f"{where}.lead is {ask['lead']!r}; write true, or leave it out")
    if ask.get("answers") not in (None, "listed"):
        raise UserError(f"{where}.answers is {ask['answers']!r}; write listed, or leave it out for any words")
