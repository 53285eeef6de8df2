"""params.yaml and a preset, composed by Hydra and validated by `models`: nothing that cannot be reaches a job.

The files are read strictly first (`conf_files`), so that a message names the file that says a value; Hydra then
composes the preset with the groups that its grid names. `overrides` are set, every section is validated, and last what
only sections together can get wrong (`cross_checks`). What comes out holds no OmegaConf object and no interpolation, so
that it fits into a rule's ``params:``.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from vlkd_steps.config import artifacts, conf_files, cross_checks, members, overrides, teacher_names
from vlkd_steps.config.conf_files import ConfFiles
from vlkd_steps.config.models.preset import Params, Preset
from vlkd_steps.config.validation import validated
from vlkd_steps.core import components, layout
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import local

CONF = conf_files.PACKAGED


def compose(params_file: Path = Path("params.yaml"), experiment: str | None = None) -> dict[str, Any]:
    """Compose the experiment that `params_file` describes, or the bare preset `experiment`.

    Naming another experiment than params.yaml's leaves its grid and overrides aside: they belong to
    the experiment in that file. DVC versions only what params.yaml names.

    Returns:
        ``experiment, grid, blocks, artifacts, sources, datasets, teachers, students, methods, variants, training,
        reference, overrides``, all plain Python. ``blocks`` are what is crossed, ``grid`` holds every value of any
        block.

    Raises:
        UserError: a key or value that is not valid, with the nearest valid one.
    """
    params = read_params(params_file)
    own = experiment in (None, params.experiment)
    name, where = experiment or params.experiment, params_file.name
    conf = ConfFiles([*_folders(params.conf, where), CONF])
    components.use(params.plugins)
    one_of(name, conf.options("experiment"), "experiment" if experiment else f"{where}: experiment")

    preset = read_preset(conf, name)
    given_grid = params.grid.written() if own else {}
    crossed = blocks(preset, given_grid, name, where)
    grid = {key: list({str(v): v for block in crossed for v in block[key]}.values()) for key in crossed[0]}
    sections = [
        (f"{conf.chain('experiment', name)[-1].called}: overrides", preset.get("overrides") or {}),
        (f"{where}: overrides", params.overrides if own else {}),
    ]
    said = {f"grid.{key}": where for key in given_grid}
    said |= {str(key): called for called, given in sections for key in given}
    origin = members.Origin(conf, name, said)
    for _, given in sections:
        _choose_members(given, preset)
    composed = _with_groups(origin, grid, preset, _giver(origin, preset))
    composed.pop("grids", None)
    composed.pop("overrides", None)
    composed = {"experiment": name, **composed, "grid": grid, "blocks": crossed}
    for recipe in recipes(composed):
        recipe.setdefault("processes", 1)  # written down, so that it can be overridden
    for dataset in composed["datasets"].values():
        dataset.setdefault("allow_leaks", [])  # as above

    applied = [
        {
            str(key): value
            for key, value in given.items()
            if number or not overrides.left_out(str(key), composed, conf.options("dataset"))
        }
        for number, (_, given) in enumerate(sections)
    ]
    may = members.optional(composed)
    for (called, _), given in zip(sections, applied, strict=True):
        for key, value in given.items():
            overrides.override(composed, key, value, called, may)
    composed["overrides"] = [overrides.tree(given) for given in applied]
    composed = members.checked(composed, origin)
    cross_checks.check(composed, origin)
    composed["artifacts"] = artifacts.needed(composed)
    return composed


def read_params(path: Path) -> Params:
    """Read params.yaml.

    Raises:
        UserError: not readable, not YAML, or a value that cannot be.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; run from the project's root, or restore it: git checkout {path}")
    given = conf_files.read(path, path.name)
    if "artifacts" in given:
        raise UserError(
            f"{path.name}: artifacts is no longer listed by hand, it follows from the grid; delete the key `artifacts` "
            "and the lines below it"
        )
    return validated(Params, given, locate=lambda key: (path.name, key))


def read_preset(conf: ConfFiles, name: str) -> dict[str, Any]:
    """A preset, validated as its files say it.

    Raises:
        UserError: a file that cannot be read, or a value that cannot be.
    """
    preset = conf.merged("experiment", name)
    if "${" in str(preset):
        preset = _hydra(conf, f"experiment={name}")
    validated(Preset, preset, locate=lambda key: (conf.locate("experiment", name, key), key))
    return preset


def _folders(given: Sequence[str], where: str) -> list[Path]:
    """The folders of ``conf``."""
    for folder in given:
        if not os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises for a name too long
            raise UserError(f"{where}: conf names {folder!r}, which is no folder here; create it, or correct the path")
        if os.path.lexists(Path(folder, "config.yaml")):
            raise UserError(f"{where}: conf names {folder!r}, which holds config.yaml, the name of the root; rename it")
    return [Path(folder).resolve() for folder in given]


def blocks(
    preset: Mapping[str, Any], given: Mapping[str, list[Any]], experiment: str, where: str
) -> list[dict[str, list[Any]]]:
    """What the experiment crosses: its grid or, where the preset has ``grids``, each block of it.

    A block's list that is left out is the grid's; all blocks have the grid's seeds. A list of params.yaml
    replaces the grid's or, of blocks, keeps what it names.

    Raises:
        UserError: a value of params.yaml that no block has.
    """
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


def _giver(origin: members.Origin, preset: Mapping[str, Any]) -> Callable[[str, str], str]:
    """Finds the file and key that put a name into a list of the grid."""

    def giver(key: str, name: str) -> str:
        blocks = [number for number, block in enumerate(preset.get("grids") or ()) if name in block.get(key, ())]
        given = f"grid.{key}" in origin.overridden
        return ": ".join(origin(f"grids.{blocks[0]}.{key}" if blocks and not given else f"grid.{key}"))

    return giver


def recipes(composed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How anything is trained: the runs' recipe, and each model's that is pre-trained."""
    models = [*composed["teachers"].values(), *composed["students"].values()]
    return [composed["training"], *(model["pretrain"] for model in models if isinstance(model.get("pretrain"), dict))]


def options(group: str) -> list[str]:
    """The names that the package offers of a group, sorted."""
    return ConfFiles([CONF]).options(group)


def _choose_members(given: Mapping[str, Any], preset: dict[str, Any]) -> None:
    """Another teacher or method of a variant has to be composed as well."""
    for key, value in given.items():
        group, _, rest = str(key).partition(".")
        variant, _, setting = rest.partition(".")
        if group == "variants" and setting in ("teacher", "method") and variant in preset["variants"]:
            preset["variants"] = {**preset["variants"], variant: {**preset["variants"][variant], setting: value}}


def _with_groups(
    origin: members.Origin,
    grid: Mapping[str, list[str]],
    preset: Mapping[str, Any],
    giver: Callable[[str, str], str],
) -> dict[str, Any]:
    """Compose the preset with every group member that the grid's cells read, and what those read in turn.

    Args:
        giver: as `_giver` makes it.
    """
    conf, experiment = origin.conf, origin.experiment
    for variant in grid["variant"]:
        one_of(variant, preset["variants"], giver("variant", variant))
    for name, variant in preset["variants"].items():
        one_of(variant["method"], conf.options("method"), ": ".join(origin(f"variants.{name}.method")))
        if variant["method"] not in components.names("method"):
            near = nearest(variant["method"], components.names("method"))
            problem = f"is {variant['method']!r}, which has a file of settings and no code; {near}, or name its plugin"
            raise origin.mistake(f"variants.{name}.method", problem)
        teacher_names.check(variant.get("teacher"), ": ".join(origin(f"variants.{name}.teacher")))
        for teacher in teacher_names.names(variant.get("teacher")):
            one_of(teacher, conf.options("teacher"), ": ".join(origin(f"variants.{name}.teacher")))
    chosen = [preset["variants"][name] for name in grid["variant"]]
    teachers = [teacher for variant in chosen for teacher in teacher_names.names(variant.get("teacher"))]
    methods = {variant["method"] for variant in preset["variants"].values()}
    wanted = {
        "dataset": {name: giver("dataset", name) for name in grid["dataset"]},
        "student": {name: giver("student", name) for name in grid["student"]},
        "method": dict.fromkeys(methods, "variants"),
        "teacher": dict.fromkeys(teachers, "variants"),
        "source": {},
    }
    for trained_on in grid["dataset"]:
        for name, extra in ((preset.get("extra_evals") or {}).get(trained_on) or {}).items():
            if extra and extra.get("dataset"):
                key = f"extra_evals.{trained_on}.{name}.dataset"
                wanted["dataset"].setdefault(str(extra["dataset"]), ": ".join(origin(key)))
    said: dict[str, dict[str, Any]] = {group: {} for group in wanted}
    _close(wanted, said, origin)
    while True:
        dropped_in = sorted(set(wanted["source"]) - set(conf.options("source")))  # no conf file: data/incoming/<name>
        found = [(group, name) for group in sorted(wanted) for name in sorted(wanted[group])]
        found = [member for member in found if member not in {("source", name) for name in dropped_in}]
        composed = _hydra(
            conf, f"experiment={experiment}", *[f"+{group}@{group}s.{name}={name}" for group, name in found]
        )
        composed = {f"{group}s": {} for group in wanted} | composed
        before = {group: set(names) for group, names in wanted.items()}
        _close(wanted, {group: composed[f"{group}s"] for group in wanted}, origin)
        if {group: set(names) for group, names in wanted.items()} == before:  # no interpolation names anything more
            composed["sources"] = composed["sources"] | {name: local.incoming(name) for name in dropped_in}
            return composed


def _close(wanted: dict[str, dict[str, str]], said: dict[str, dict[str, Any]], origin: members.Origin) -> None:
    """Add what members name in turn, with the file and key that name it, until nothing is added."""
    conf = origin.conf
    while True:
        for group in sorted(wanted):
            for name in sorted(set(wanted[group]) - set(said[group])):
                if group == "source" and name not in conf.options("source"):
                    _check_dropped_in(name, conf.options("source"), wanted[group][name])
                    continue
                one_of(name, conf.options(group), wanted[group][name])
                said[group] = {**said[group], name: conf.merged(group, name)}
        before = sum(map(len, wanted.values()))
        for name, dataset in said["dataset"].items():
            sources = [("source", f"datasets.{name}.{key}", dataset) for key in ("source", "image_source")]
            _want(wanted, origin, sources)
        for models in ("teacher", "student"):
            for name, model in said[models].items():
                making = model.get("pretrain") if isinstance(model.get("pretrain"), dict) else {}
                start = [("dataset", f"{models}s.{name}.pretrain.corpus", making)]
                start += [("teacher", f"{models}s.{name}.pretrain.init", making)]
                _want(wanted, origin, [*start, ("teacher", f"{models}s.{name}.regions", model)])
        if sum(map(len, wanted.values())) == before:
            return


def _want(
    wanted: dict[str, dict[str, str]], origin: members.Origin, references: Sequence[tuple[str, str, Mapping[str, Any]]]
) -> None:
    """Add the members that sections name: group, dotted key of the reference, and the section that has it."""
    for group, dotted, section in references:
        name = section.get(dotted.rpartition(".")[2])
        if isinstance(name, str) and name and "${" not in name:
            wanted[group].setdefault(name, ": ".join(origin(dotted)))


def _check_dropped_in(name: str, known: Sequence[str], where: str) -> None:
    """A source without a conf file is a folder of the user's; one that is not there may be a misspelt name."""
    near = nearest(name, known, "-")
    if near != "-" and not (layout.INCOMING / name).is_dir():
        raise UserError(
            f"{where} names {name!r}, which has neither a file conf/source/{name}.yaml nor a folder "
            f"{layout.INCOMING / name}; {near}"
        )


def _hydra(conf: ConfFiles, *choices: str) -> dict[str, Any]:
    """What Hydra composes of the preset and the members that are chosen.

    Raises:
        UserError: it cannot be composed, or an interpolation refers to a missing value.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _search_path().folders = conf.folders[:-1]
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            plain = OmegaConf.to_container(hydra_compose("config", overrides=list(choices)), resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(
            f"{_place(conf, str(error.full_key or ''), choices)}: {str(error.msg or error).splitlines()[0]}"
        ) from None
    except HydraException as error:
        raise UserError(f"the configuration cannot be composed: {error}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@cache
def _search_path() -> Any:
    """A plugin of Hydra's, by which it searches ``folders`` before the package's own."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class UsersFolders(SearchPathPlugin):
        folders: ClassVar[Sequence[Path]] = ()

        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for number, folder in enumerate(reversed(self.folders)):
                search_path.prepend(provider=f"conf{number}", path=f"file://{folder}")

    Plugins.instance().register(UsersFolders)
    return UsersFolders


def _place(conf: ConfFiles, dotted: str, choices: Sequence[str]) -> str:
    """The file and key of a value that cannot be resolved."""
    group, _, rest = dotted.partition(".")
    name, _, key = rest.partition(".")
    if group.removesuffix("s") in members.GROUPS and conf.path(group.removesuffix("s"), name):
        return f"{conf.locate(group.removesuffix('s'), name, key)}: {key}"
    return f"{conf.locate('experiment', choices[0].partition('=')[2], dotted)}: {dotted}"
