"""params.yaml and a preset, composed by Hydra into one plain dictionary.

Hydra composes once to read the preset and once more with the groups that the grid names. What comes
out holds no OmegaConf object and no interpolation, so that it can stand in a rule's ``params:``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps.config import extra_evals_check, overrides, teacher_names, variants
from vlkd_steps.core import project_files
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import local

CONF = Path(__file__).resolve().parent.parent / "conf"
SCHEMA = project_files.FOLDER / "workflow" / "schemas" / "params.schema.yaml"
PRESET_SCHEMA = SCHEMA.with_name("preset.schema.yaml")
ARTIFACTS = ("source", "corpus", "asked", "model", "teacher")


def compose(params_file: Path = Path("params.yaml"), experiment: str | None = None) -> dict[str, Any]:
    """Compose the experiment that `params_file` describes, or the bare preset `experiment`.

    Naming another experiment than params.yaml's leaves its grid and overrides aside: they belong to
    the experiment they stand beside. DVC versions only what params.yaml names.

    Returns:
        ``experiment, grid, blocks, artifacts, sources, datasets, teachers, students, variants, training,
        reference``, all plain Python. ``blocks`` are what is crossed, ``grid`` holds every value of any block.

    Raises:
        UserError: a key or value that is not valid, with the nearest valid one.
    """
    params = read_params(params_file)
    if experiment is not None and experiment != params["experiment"]:
        params = {"experiment": experiment, "grid": {}, "artifacts": None, "overrides": {}}
    where = params_file.name
    one_of(params["experiment"], options("experiment"), f"{where}: experiment")
    preset = _hydra(f"experiment={params['experiment']}")
    crossed = blocks(preset, params["grid"], params["experiment"], where)
    grid = {key: list({str(v): v for block in crossed for v in block[key]}.values()) for key in crossed[0]}
    for key, value in (params.get("overrides") or {}).items():
        group, _, rest = str(key).partition(".")
        variant, _, setting = rest.partition(".")
        if group == "variants" and setting in ("teacher", "method") and variant in preset["variants"]:
            preset["variants"][variant][setting] = value  # another one has to be composed as well
    composed = _with_groups(params["experiment"], grid, preset, where)
    composed.pop("grids", None)
    composed = {"experiment": params["experiment"], **composed, "grid": grid, "blocks": crossed}
    for recipe in recipes(composed):
        recipe.setdefault("processes", 1)  # written down, so that it can be overridden
    for conf in composed["datasets"].values():
        conf.setdefault("allow_leaks", [])  # a key that params.yaml may override although few confs write it
    for key, value in (composed.pop("overrides", None) or {}).items():
        if overrides.left_out(str(key), composed, options("dataset")):
            continue
        overrides.override(composed, str(key), value, f"experiment {params['experiment']}: overrides")
    for key, value in (params.get("overrides") or {}).items():
        overrides.override(composed, str(key), value, f"{where}: overrides")
    extra_evals_check.check(composed)
    variants.check(composed)
    composed["artifacts"] = needed(composed)
    if params["artifacts"] is not None:
        _check_artifacts(params["artifacts"], composed["artifacts"], where)
    return composed


def blocks(
    preset: Mapping[str, Any], given: Mapping[str, list[Any]], experiment: str, where: str
) -> list[dict[str, list[Any]]]:
    """What the experiment crosses: its grid or, where the preset has ``grids``, each block of it.

    A block's list that is left out is the grid's; all blocks have the grid's seeds. A list of params.yaml takes the
    place of the grid's or, of blocks, keeps what it names.

    Raises:
        UserError: a preset that its schema does not allow, or a value of params.yaml that no block has.
    """
    check_schema(preset, PRESET_SCHEMA, f"experiment {experiment}")
    if not preset.get("grids"):
        return [{**preset["grid"], **given}]
    found = [{**preset["grid"], **block} for block in preset["grids"]]
    for key, wanted in given.items():
        there = {str(value): value for block in found for value in block[key]}
        for value in wanted if key != "seed" else ():
            if str(value) not in there:
                raise UserError(
                    f"{where}: grid.{key} names {value!r}, which no block of experiment {experiment} has; "
                    + nearest(str(value), there)
                )
    names = {key: {str(value) for value in wanted} for key, wanted in given.items() if key != "seed"}
    cut = [
        {key: [v for v in block[key] if key not in names or str(v) in names[key]] for key in block}
        | ({"seed": given["seed"]} if "seed" in given else {})
        for block in found
    ]
    cut = [block for block in cut if all(block.values())]
    if not cut:
        raise UserError(f"{where}: grid leaves nothing of the blocks of experiment {experiment}; name fewer lists")
    return cut


def recipes(composed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How anything is trained: the runs' recipe, and each model's that is pre-trained."""
    models = [*composed["teachers"].values(), *composed["students"].values()]
    return [composed["training"], *(model["pretrain"] for model in models if model.get("pretrain"))]


def read_params(path: Path) -> dict[str, Any]:
    """Read params.yaml and check it against its schema.

    Raises:
        UserError: not readable, not YAML, or not what the schema allows.
    """
    try:
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run from the project's root, or restore it: git checkout {path}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    check_schema(params, SCHEMA, path.name)
    return {"overrides": {}, **params}


def check_schema(value: Any, schema: Path, name: str) -> None:
    """Refuse what a JSON schema (in YAML) does not allow, by its first error."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(yaml.safe_load(schema.read_text(encoding="utf-8")))
    errors = sorted(validator.iter_errors(value), key=lambda error: [str(part) for part in error.path])
    if errors:
        raise UserError(f"{name}: {_explain(errors[0])}")


def _explain(error: Any) -> str:
    """One jsonschema error as a sentence; an unknown key gets the nearest valid one."""
    place = ".".join(str(part) for part in error.path) or "the top level"
    if error.validator == "additionalProperties":
        valid = list(error.schema.get("properties", {}))
        unknown = sorted(str(key) for key in error.instance if key not in valid)
        return f"unknown key {unknown[0]!r} at {place}; {nearest(unknown[0], valid)}"
    if error.validator == "anyOf":
        return f"{place} is {error.instance!r}; write a number of questions, a percentage such as 1pct, or full"
    if error.validator == "required":
        return f"{error.message} at {place}"
    return f"{place}: {error.message}"


def options(group: str) -> list[str]:
    """The names that a Hydra group offers, sorted."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _with_groups(
    experiment: str, grid: Mapping[str, list[str]], preset: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Compose the preset with every group member that the grid's cells read, and what those read in turn."""
    for variant in grid["variant"]:
        one_of(variant, preset["variants"], f"{where}: grid.variant")
    chosen = {name: preset["variants"][name] for name in grid["variant"]}
    for name, variant in chosen.items():
        one_of(variant["method"], options("method"), f"experiment {experiment}: variants.{name}.method")
        teacher_names.check(variant.get("teacher"), f"experiment {experiment}: variants.{name}.teacher")
    members = {
        "dataset": set(grid["dataset"]),
        "student": set(grid["student"]),
        "method": {variant["method"] for variant in chosen.values()},
        "teacher": {teacher for variant in chosen.values() for teacher in teacher_names.names(variant.get("teacher"))},
        "source": set(),
    }
    members["dataset"] |= _asked(preset, grid)
    while True:
        found = [(group, name) for group in sorted(members) for name in sorted(members[group])]
        dropped_in = sorted(members["source"] - set(options("source")))  # no conf file: data/incoming/<name>
        found = [member for member in found if member not in {("source", name) for name in dropped_in}]
        for group, name in found:
            one_of(name, options(group), f"{where}: {f'grid.{group}' if group in grid else group}")
        groups = [f"+{group}@{group}s.{name}={name}" for group, name in found]
        composed = _hydra(f"experiment={experiment}", *groups)
        before = sum(map(len, members.values()))
        for conf in composed.get("datasets", {}).values():
            members["source"].update(_sources(conf))
        for conf in [*composed.get("teachers", {}).values(), *composed.get("students", {}).values()]:
            making = conf.get("pretrain") or {}
            members["dataset"].update([making["corpus"]] if making.get("corpus") else [])
            members["teacher"].update([making["init"]] if making.get("init") else [])
            members["teacher"].update([conf["regions"]] if conf.get("regions") else [])
        if sum(map(len, members.values())) == before:
            composed["sources"] = composed.get("sources", {}) | {name: local.incoming(name) for name in dropped_in}
            return {"teachers": {}, **composed}


def _hydra(*overrides: str) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            composed = hydra_compose("config", overrides=list(overrides))
    except HydraException as error:
        raise UserError(f"the configuration cannot be composed: {error}") from error
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def needed(composed: Mapping[str, Any]) -> dict[str, list[str]]:
    """The artifacts beside the grid's own data sets, as `artifacts:` of params.yaml lists them."""
    grid = composed["grid"]
    teachers = {
        teacher
        for name in grid["variant"]
        for teacher in teacher_names.names(composed["variants"][name].get("teacher"))
    }
    made = [composed["teachers"][name] for name in teachers] + [composed["students"][name] for name in grid["student"]]
    models = {conf["name"] for conf in made if conf.get("pretrain")}
    corpora = {conf["pretrain"]["corpus"] for conf in made if (conf.get("pretrain") or {}).get("corpus")}
    sights = {composed["students"][name].get("regions") for name in grid["student"]} - {None}
    teachers |= sights  # extracted as a teacher's features are
    asked = _asked(composed, grid)
    read = [*grid["dataset"], *sorted(corpora | asked)]
    return {
        "source": sorted({source for dataset in read for source in _sources(composed["datasets"][dataset])}),
        "corpus": sorted(corpora - set(grid["dataset"])),
        "asked": sorted(asked - set(grid["dataset"])),
        "model": sorted(models),
        "teacher": sorted(teachers),
    }


def _asked(preset: Mapping[str, Any], grid: Mapping[str, Any]) -> set[str]:
    """The data sets whose items runs of the grid are asked beside their own (`asking`)."""
    asks = [(preset.get("asks") or {}).get(name) or {} for name in grid["dataset"]]
    return {ask["dataset"] for of_one in asks for ask in of_one.values() if ask.get("dataset")}


def _sources(conf: Mapping[str, Any]) -> list[str]:
    """A data set's source, and that of its images where it shares them with others."""
    return [conf["source"], *([conf["image_source"]] if conf.get("image_source") else [])]


def _check_artifacts(given: Mapping[str, list[str]], expected: Mapping[str, list[str]], where: str) -> None:
    for name in ARTIFACTS:
        listed = given.get(name, [])
        if sorted(listed) != expected[name]:
            lists = "\n".join(f"  {key}: [{', '.join(expected[key])}]" for key in ARTIFACTS)
            raise UserError(
                f"{where}: artifacts.{name} is [{', '.join(listed)}], but this grid needs "
                f"[{', '.join(expected[name])}]; write\nartifacts:\n{lists}"
            )
