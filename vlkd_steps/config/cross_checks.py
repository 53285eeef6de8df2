"""Checks across sections: a name that means another kind of thing, a student that a method cannot train."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config import jobs, like, overrides, precedence
from vlkd_steps.config.members import Origin
from vlkd_steps.config.models import kinds
from vlkd_steps.config.models.base import Learned
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.config.models.dataset import READERS, Dataset
from vlkd_steps.config.models.extra_evals import ItemsOfASet, Retrieval
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.preset import Variant
from vlkd_steps.config.models.teacher import Boxes, Teacher
from vlkd_steps.config.validation import shown
from vlkd_steps.core import components, layout, package_assets, prompt_wording
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError


def check(c: Composition, origin: Origin) -> None:
    """Refuse an experiment that cannot be run.

    Raises:
        UserError: a reference or init that is not a variant, a data set that nothing can be trained or evaluated on, an
            extractor of regions as a teacher or the reverse, a pre-training that cannot be, a student that does not fit
            the method or the task, an incomplete recipe, a missing teacher, an invalid extra evaluation, two tasks that
            mean other things by a metric's name.
    """
    for key, name in (("reference", c.preset.reference), ("highlight", c.preset.highlight)):
        if name:
            one_of(name, c.variants, f"{origin(key)[0]}: {key}")
    for name, variant in c.variants.items():
        _check_variant(c, name, variant, origin)
    _check_datasets(c, origin)
    _check_regions(c, origin)
    for group, learned in (("teachers", c.teachers), ("students", c.students)):
        for name, conf in learned.items():
            if conf.pretraining:
                _check_pretraining(c, f"{group}.{name}", conf, origin)
    _check_extra_evals(c, origin)
    _check_metrics()
    _check_sweeps(c, origin)
    _check_narrower(c, origin)
    for cell in c.cells:
        _check_student(c, cell, origin)
        _check_answers(c, cell, origin)
        _check_method(c, cell, origin)


def _check_metrics() -> None:
    """Check that a metric's name means one thing: tables know metrics by their names."""
    seen: dict[str, tuple[str, tasks.Metric]] = {}
    for name in components.names("task"):
        for metric in tasks.load(name).compared_by:
            other, first = seen.setdefault(metric.name, (name, metric))
            if metric != first:
                raise UserError(
                    f"tasks {other} and {name} are both compared by {metric.name!r}, with another title or scale "
                    "(compared_by); give it another name in one of them"
                )


def _check_variant(c: Composition, name: str, variant: Variant, origin: Origin) -> None:
    """Check what a variant names, also one that the grid leaves out: its teacher, the variant it starts from."""
    where = f"variants.{name}"
    parts = {f"{where}.by_task.{task}": part for task, part in (variant.by_task or {}).items()}
    for key, part in {where: variant, **parts}.items():
        if part and part.init:
            one_of(part.init, c.variants, origin.said(f"{key}.init"))
    _check_teacher(c, name, None, None, origin)


def _check_datasets(c: Composition, origin: Origin) -> None:
    """Check that the grid's data sets have something to train on, and something to be evaluated on."""
    for name in c.grid.dataset:
        conf = c.datasets[name]
        if "train" not in conf.roles:
            raise origin.mistake(
                f"datasets.{name}.roles",
                f"has no train, and the grid trains on {name}; add the role, or take {name} out of the grid; "
                f"roles are: {', '.join(conf.roles)}",
            )
        for role in ("train", *conf.evaluation_sets):
            if split := _without_images(conf, role):
                raise origin.mistake(
                    f"datasets.{name}.files.{split}.images",
                    f"names no folder, and {role} is {split}: students and teachers read images; name the folder of "
                    f"images, or take {name} out of the grid",
                )
        scored = any(isinstance(each, ItemsOfASet) for each in (c.extra_evals.get(name) or {}).values())
        if not conf.evaluation_sets and not scored:
            raise origin.mistake(
                f"datasets.{name}.evaluation_sets",
                f"is empty, and no extra_evals for {name}, which the grid trains on, has items to score; name one of "
                f"its roles: {', '.join(conf.roles)}",
            )


def _without_images(conf: Dataset, role: str) -> str | None:
    """The split of a role whose records are text alone; None: it has images, or a plugin reads it."""
    reader, split = READERS.get(conf.reader), conf.roles[role].split
    if reader is None or conf.streamed or split not in conf.files:
        return None
    default = "." if reader.columns else None  # Parquet files name or hold their images
    return split if conf.files[split].get("images", default) is None else None


def _check_regions(c: Composition, origin: Origin) -> None:
    """Check that teachers are teachers, and extractors of regions extract regions."""
    named = [(f"variants.{name}.teacher", each, False) for name in c.grid.variant for each in c.variants[name].teachers]
    named += [(f"students.{name}.regions", conf.regions, True) for name, conf in c.students.items() if conf.regions]
    for key, name, wanted in named:
        if _extracts(name, origin) != wanted:
            what = ("a teacher", "an extractor of regions")
            fitting = sorted(each for each in origin.conf.options("teacher") if _extracts(each, origin) == wanted)
            raise origin.mistake(
                key,
                f"names {name!r}, {what[not wanted]} (kind {c.teachers[name].kind}), not {what[wanted]}; "
                f"{nearest(name, fitting)}",
            )


def _extracts(teacher: str, origin: Origin) -> bool:
    """Whether a file of a teacher is that of an extractor of regions."""
    kind = str(origin.conf.merged("teacher", teacher).get("kind"))
    return kind in kinds.names("teacher") and ".regions." in components.module_name("teacher", kind)


def _check_pretraining(c: Composition, where: str, conf: Learned, origin: Origin) -> None:
    """Check that a pre-training has captions to read, a CLIP to start from, and makes the weights that are read."""
    making = conf.pretraining
    if corpus := making.get("corpus"):
        of, split = c.datasets[corpus], making.get("split")
        if tasks.load(of.task).head != "written":
            raise origin.mistake(f"{where}.pretrain.corpus", f"is {corpus!r}, of task {of.task}; name one of captions")
        if split and split not in of.files:
            near = nearest(split, of.files)
            raise origin.mistake(f"{where}.pretrain.split", f"is {split!r}; {corpus} has no such files; {near}")
    if (init := making.get("init")) and (kind := c.teachers[init].kind) != conf.kind:
        raise origin.mistake(f"{where}.pretrain.init", f"is {init!r}, of kind {kind}; name one of kind {conf.kind}")
    shipped = package_assets.ASSETS / f"{init}.safetensors"  # as `runs.model_dir.initial` finds them
    if init and not c.teachers[init].pretraining and not shipped.is_file():
        problem = "whose weights this package neither ships nor makes; name a teacher with `pretrain`, or clip_scenes"
        raise origin.mistake(f"{where}.pretrain.init", f"is {init!r}, {problem}")
    followed = [conf.name]
    while init := c.learned(followed[-1]).pretraining.get("init"):
        followed.append(init)
        if init in followed[:-1]:
            circle = " starts from ".join(followed)
            raise origin.mistake(f"{where}.pretrain.init", f"is circular: {circle}; name a teacher outside of it")
    made, weights = layout.model_weights(conf.name).as_posix(), getattr(conf, "weights", None)
    if isinstance(conf, Teacher) and weights != made:
        file = origin.conf.chain("teacher", conf.name)[-1].called
        raise UserError(f"{file}: weights is {shown(weights)}, and pretrain makes {made}; write weights: {made}")


def _check_student(c: Composition, cell: Cell, origin: Origin) -> None:
    """Check that the method can train the student, and that the student can do the task."""
    method, student = c.variants[cell.variant].method, cell.student
    of_method, task = declaration(method), c.datasets[cell.dataset].task
    writes = getattr(kinds.model("student", c.students[student].kind), "writes", False)
    if writes and of_method.classifies:
        message = (
            f"method {method} trains a classifier, but {student} answers in words; give it the variants of method vlkd"
        )
    elif not writes and of_method.runner == "vlkd":
        message = f"method {method} trains a BART, which {student} is not; name one, such as bart_scenes"
    elif not writes and tasks.load(task).head == "written" and of_method.classifies:
        message = f"{student} is a classifier, but {cell.dataset} has captions; name a BART, such as bart_scenes"
    elif jobs.student(c, student, task).get("head") == "vilt" and tasks.load(task).head != "classes":
        message = f"head of {student} is vilt, a classifier, but {cell.dataset} has choices; write head: uniter"
    else:
        return
    where = origin.said("grid.student")
    raise UserError(f"{where}: experiment {c.experiment}, {cell.dataset} {student} {cell.variant}: {message}")


def _check_answers(c: Composition, cell: Cell, origin: Origin) -> None:
    """Check that runs with extra evaluations answer in words: those that classify make none of them."""
    method, dataset = c.variants[cell.variant].method, cell.dataset
    if c.extra_evals.get(dataset) and declaration(method).classifies:
        raise origin.mistake(
            f"extra_evals.{dataset}",
            f"is for runs that answer in words, and {cell.variant}, which the grid trains on {dataset}, is of method "
            f"{method}, which classifies; write {dataset}: null, or take {cell.variant} out of the grid there",
        )


def _check_method(c: Composition, cell: Cell, origin: Origin) -> None:
    """Check that a run's recipe is whole, that its method has the teacher it needs and fits the recipe's steps."""
    recipe, task = precedence.recipe(c, cell), c.datasets[cell.dataset].task
    variant = c.variants[cell.variant]
    if declaration(variant.method).runner == "probe" and (variant.training or variant.init):
        problem = f"is set, but method {variant.method} trains no student; delete it"
        raise origin.mistake(f"variants.{cell.variant}.{'training' if variant.training else 'init'}", problem)
    if recipe.tokens_per_batch and declaration(variant.method).runner != "classify":
        raise UserError(
            f"experiment {c.experiment}, {' '.join(cell)}: training.tokens_per_batch is {recipe.tokens_per_batch}, but "
            f"method {variant.method} trains by batch_size; set tokens_per_batch: 0"
        )
    kind = kinds.model("student", c.students[cell.student].kind)
    if recipe.adversarial and not getattr(kind, "takes_shifts", False):
        raise UserError(
            f"experiment {c.experiment}, {' '.join(cell)}: training.adversarial is for UNITER and VILLA, which "
            f"{cell.student} is not; delete it, or name one of them in grid.student"
        )
    _check_teacher(c, cell.variant, task, cell.shot, origin)
    settings = precedence.settings(c, cell.variant, task, cell.shot, origin)
    message = settings.mistake(recipe.steps)
    if settings.compares_patches and not _sees_a_grid(c, cell):
        message = (
            f"targets has patches, but {cell.student} reads regions, which are no grid that a teacher's patches could "
            "be compared with; leave patches out of targets, or take a student that reads pixels, such as vilt_scenes"
        )
    if message:
        raise UserError(f"experiment {c.experiment}, {' '.join(cell)}: method {variant.method}: {message}")


def _sees_a_grid(c: Composition, cell: Cell) -> bool:
    """Whether a student's visual tokens are a square grid, row by row: of pixels, or of regions that are all cells."""
    name = c.students[cell.student].regions
    if not name:
        return True
    of_all = c.teachers[name]
    extractor = of_all.model_copy(update=of_all.by_dataset.get(cell.dataset, {}))
    if not isinstance(extractor, Boxes) or extractor.boxes != "grid":
        return False
    return not extractor.whole_image and extractor.grid**2 <= extractor.max_regions


def _check_sweeps(c: Composition, origin: Origin) -> None:
    """Check that every swept key has its values in some run of the grid, and is not set for all of them elsewhere."""
    for name in dict.fromkeys(member.variant for member in c.members.values()):
        members = {each: member for each, member in c.members.items() if member.variant == name}
        places = dict.fromkeys(cell._replace(variant=name) for cell in c.cells if cell.variant in members)
        first = next(iter(members.values()))
        for key, path in zip(first.swept, first.written, strict=True):
            others = {other: value for other, value in first.swept.items() if other != key}
            alike = [each for each, member in members.items() if others.items() <= member.swept.items()]
            values = [members[each].swept[key] for each in alike]
            if places and not any(_has_all(c, place, alike, path.split(".")) for place in places):
                problem = (
                    "these are the values of no run: a narrower setting (by_shot, by_task, overrides) sets the key"
                )
                raise UserError(
                    f"{origin.said(f'variants.{alike[0]}.{path}')} is {shown(values)}; {problem}, or the grid "
                    f"has no such task; sweep the key there, as by_task.<task>.{key}, or delete the other"
                )


def _check_narrower(c: Composition, origin: Origin) -> None:
    """Check that what the user's overrides say by shot, task or data set is for those of the grid; a preset's may be
    for a larger one."""
    tasks_there = [c.datasets[cell.dataset].task for cell in c.cells]
    there: dict[str, Sequence[str]] = {
        "by_shot": [cell.shot for cell in c.cells],
        "by_task": tasks_there,
        "recipe": tasks_there,
        "by_dataset": c.grid.dataset,
    }
    for *above, kind, name in _narrower(c.overrides[-1], there) if c.overrides else ():
        if name not in there[kind]:
            key = ".".join([*above, kind, name])
            raise origin.mistake(key, f"sets values of no run; {nearest(name, there[kind])}")


def check_in_grid(c: Composition, users: Mapping[str, Any], variants: Mapping[str, Any], where: str) -> None:
    """Check that the user's overrides are of variants that are run, or that such a one is like, of methods that are
    run, and of data sets that are trained on.

    Args:
        users: the overrides of params.yaml, by dotted key.
        variants: the preset's, as its files say them.
        where: names params.yaml, for the message.

    Raises:
        UserError: one is of no run.
    """
    named = [c.members[each].variant if each in c.members else each for each in c.grid.variant]
    for each in named:  # grows
        other = like.other(variants.get(each))
        named += [other] if other and other not in named else []
    there = {
        "variants": ([*named, *c.grid.variant], "{} is not in grid.variant; add it there"),
        "methods": ([c.variants[each].method for each in c.grid.variant], "no variant in grid.variant is of method {}"),
        "extra_evals": (c.grid.dataset, "{} is not in grid.dataset; add it there"),
    }
    for key in users:
        group, _, rest = key.partition(".")
        name = rest.partition(".")[0]
        names, why = there.get(group, ([name], ""))
        if name not in names:
            raise UserError(f"{where}: overrides: {key} sets values of no run: {why.format(name)}, or delete this")


def _narrower(given: Mapping[str, Any], kinds: Collection[str], *above: str) -> Iterator[tuple[str, ...]]:
    """The parts of the keys of what a tree of overrides says by shot, by task and so on."""
    is_name = above in [(group,) for group in overrides.NAMED]  # a data set may be called recipe
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from ((*above, key, str(name)) for name in value if key in kinds and not is_name)
            yield from _narrower(value, kinds, *above, key)


def _has_all(c: Composition, place: Cell, members: Sequence[str], path: Sequence[str]) -> bool:
    """Whether a key differs in the runs of all members."""
    task, key = c.datasets[place.dataset].task, path[-1]
    if path[0] == "by_task" and path[1] != task:
        return False
    if "training" in path:
        found = [getattr(precedence.recipe(c, place._replace(variant=each)), key) for each in members]
    else:
        found = [getattr(precedence.settings(c, each, task, place.shot), key) for each in members]
    return len(set(map(repr, found))) == len(members)


LACKING = {"vision": "texts", "text": "images"}
"""By kind of a teacher, what it does not read."""


def _check_teacher(c: Composition, variant: str, task: str | None, shot: str | None, origin: Origin) -> None:
    """Check that a variant has the teacher that its method needs."""
    chosen, where = c.variants[variant], f"variants.{variant}"
    method, settings = declaration(chosen.method), precedence.settings(c, variant, task, shot, origin)
    if not chosen.teachers and method.needs_teacher(settings):
        raise UserError(f"{origin(where)[0]}: {where}.teacher is missing; method {chosen.method} needs one: name it")
    stored = {name: c.teachers[name].splits for name in chosen.teachers if name in c.teachers}  # those of the grid
    if method.keeps_teacher and (lacking := [name for name, splits in stored.items() if splits != "used"]):
        raise origin.mistake(
            f"{where}.teacher",
            f"is {lacking[0]!r}, whose features are those of training items, and method {chosen.method} needs them at "
            "evaluation too; name a teacher with `splits: used`",
        )
    if len(chosen.teachers) > 1 and method.one_space(settings):
        raise origin.mistake(
            f"{where}.teacher",
            f"names two teachers, and method {chosen.method} compares images with words, which requires one CLIP "
            "for both; name one teacher, or take method mad with relevance: regression",
        )
    for name in chosen.teachers if method.one_space(settings) else ():
        if name in c.teachers and (unread := LACKING.get(c.teachers[name].kind)):
            raise origin.mistake(
                f"{where}.teacher",
                f"is {name!r}, which reads no {unread}, and method {chosen.method} needs both; name a CLIP",
            )


def _check_extra_evals(c: Composition, origin: Origin) -> None:
    """Check that extra evaluations name existing sets, of tasks that are answered in words, and suit these."""
    for trained_on in c.grid.dataset:
        for name, conf in c.extra_evals.get(trained_on, {}).items():
            where = f"extra_evals.{trained_on}.{name}"
            if name in c.datasets[trained_on].evaluation_sets:
                raise origin.mistake(where, f"has the name of an evaluation set of {trained_on}; choose another")
            if not isinstance(conf, ItemsOfASet | Retrieval):
                continue
            of = c.datasets[conf.dataset]
            if conf.set not in of.roles:
                near = nearest(conf.set, of.roles)
                raise origin.mistake(f"{where}.set", f"is {conf.set!r}; {conf.dataset} has no such set; {near}")
            if not tasks.load(of.task).in_words:
                raise origin.mistake(
                    f"{where}.dataset",
                    f"is {conf.dataset!r}, of task {of.task}, which is not answered in words; name one of "
                    f"{' or '.join(tasks.in_words())}",
                )
            if isinstance(conf, ItemsOfASet):
                _check_answering(conf, of, where, origin)


def _check_answering(conf: ItemsOfASet, of: Dataset, where: str, origin: Origin) -> None:
    """Check that the items of a set can be answered as an extra evaluation says."""
    head = tasks.load(of.task).head
    if conf.answers and head != "classes":
        problem = f"is {conf.answers}, but {conf.dataset}, of task {of.task}, has no list of answers; delete it"
        raise origin.mistake(f"{where}.answers", problem)
    if conf.prompt and head != "written" and prompt_wording.QUESTION not in conf.prompt:
        raise origin.mistake(
            f"{where}.prompt",
            f"is {shown(conf.prompt)}, which leaves the questions of {conf.dataset} out; write "
            f"{prompt_wording.QUESTION}, the question, before {prompt_wording.MASK}",
        )
