"""What an experiment reads and creates beside its runs: sources, data sets, pre-trained models, feature stores.

All of it is derived from the grid (`needed`), for the graph, `vlkd doctor` and dvc.yaml (through dvc_vars.yaml).
"""

from collections.abc import Mapping
from typing import Any

from vlkd_steps.config import teacher_names


def needed(composed: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of an experiment's artifacts.

    Returns:
        ``source``: what is downloaded; ``dataset``: the grid's data sets, then the corpora of pre-trainings and the
        data sets of extra evaluations; ``model``: what is pre-trained; ``teacher``: whose features are extracted,
        including those of image regions.
    """
    grid = composed["grid"]
    teachers = {
        teacher
        for name in grid["variant"]
        for teacher in teacher_names.names(composed["variants"][name].get("teacher"))
    }
    made = [composed["teachers"][name] for name in teachers] + [composed["students"][name] for name in grid["student"]]
    corpora = {conf["pretrain"]["corpus"] for conf in made if (conf.get("pretrain") or {}).get("corpus")}
    regions = {composed["students"][name].get("regions") for name in grid["student"]} - {None}
    others = (corpora | extra_datasets(composed, grid)) - set(grid["dataset"])
    datasets = [*grid["dataset"], *sorted(others)]
    return {
        "source": sorted({source for name in datasets for source in sources(composed["datasets"][name])}),
        "dataset": datasets,
        "model": sorted({conf["name"] for conf in made if conf.get("pretrain")}),
        "teacher": sorted(teachers | regions),
    }


def extra_datasets(preset: Mapping[str, Any], grid: Mapping[str, Any]) -> set[str]:
    """The data sets of the grid's extra evaluations (`extra_evals` of a preset)."""
    extra = [(preset.get("extra_evals") or {}).get(name) or {} for name in grid["dataset"]]
    return {str(conf["dataset"]) for of_one in extra for conf in of_one.values() if conf and conf.get("dataset")}


def sources(conf: Mapping[str, Any]) -> list[str]:
    """A data set's source, and that of its images if they are shared with other data sets."""
    return [name for name in (conf.get("source"), conf.get("image_source")) if name]
