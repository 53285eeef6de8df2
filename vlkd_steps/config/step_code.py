"""The code of each job as a fingerprint, by which a changed module makes its jobs run again."""

from vlkd_steps import tasks
from vlkd_steps.config import extra_evals, jobs
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.student import Student
from vlkd_steps.core import components
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import digest, sha256
from vlkd_steps.core.fingerprint import fingerprint

TEMPLATES = components.ROOT / "templates"


def code(c: Composition, step: str, **chosen: str) -> str:
    """The fingerprint of a step with the modules that its configuration chooses by name."""
    module = components.module_name
    modules = [f"vlkd_steps.steps.{step}"]
    if "source" in chosen:
        source = c.sources[chosen["source"]]
        modules.append(module("source", source.kind))
        modules += [module("reader", convert)] if (convert := getattr(source, "convert", None)) else []
    if step == "prepare":
        modules.append(module("reader", c.datasets[chosen["dataset"]].reader))
    modules += task_modules(c, step, chosen.get("dataset"))
    if "variant" in chosen:
        method = c.variants[chosen["variant"]].method
        modules += [*components.code_of("method", method), declaration(method).run_module]
    if "student" in chosen:
        modules += student_modules(c.students[chosen["student"]])
    if "teacher" in chosen:
        modules.append(module("teacher", c.teachers[chosen["teacher"]].kind))
    if "model" in chosen:
        learned = c.learned(chosen["model"])
        modules.append(module("pretraining", learned.kind))
        modules += student_modules(learned) if isinstance(learned, Student) else [module("teacher", learned.kind)]
    try:
        return fingerprint(*modules)
    except ModuleNotFoundError as error:
        raise UserError(f"the configuration of step {step} names code that does not exist: {error}") from error


def task_modules(c: Composition, step: str, dataset: str | None) -> list[str]:
    """The tasks that a step works on, with their metrics if it scores, so a changed metric causes no retraining."""
    read = [dataset] if dataset else c.grid.dataset if step in ("compare", "report") else []
    if step in ("prepare", "split"):
        names = {c.datasets[name].task for name in read}
    else:
        names = {task for name in read for task in extra_evals.tasks_of(jobs.evaluated_dataset(c, name))}
    scored = {tasks.load(name).metric for name in names} - {""} if step == "evaluate" else set()
    found = [components.module_name("task", name) for name in sorted(names)]
    return found + [components.module_name("metric", name) for name in sorted(scored)]


def student_modules(conf: Student) -> list[str]:
    """A student's architecture and, if its vocabulary is built in, the module of the words."""
    return [components.module_name("student", conf.kind), *components.vocabulary_code(conf.vocabulary)]


def page_templates() -> str:
    """A hash of the page's templates, which code fingerprints do not cover."""
    return digest({path.name: sha256(path) for path in sorted(TEMPLATES.iterdir())})
