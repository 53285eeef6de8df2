"""What the documentation names exists: links and headings, paths, modules, presets and make targets."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlkd_steps.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")), *PAGES]

FOLDERS = ("vlkd_steps/", "docs/", "tests/", "workflow/", "profiles/", "benchmarks/")
MADE_BY_THE_READER = re.compile(r"my_method|my_task|my_data|pets|street|kitchen|album|birds")
"""Names of the examples that a reader is shown how to add."""

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.M | re.S)
INDENTED = re.compile(r"^    \S.*$", re.M)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.M)

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])


def prose(text: str) -> str:
    """A document without its blocks of code."""
    return FENCE.sub("", text)


def code(text: str) -> str:
    """All code of a document, one piece a line: blocks, indented lines, inline code."""
    blocks = [block for _, _, block in FENCE.findall(text)]
    return "\n".join([*blocks, *INDENTED.findall(prose(text)), *CODE.findall(prose(text))])


def named(document: Path, pattern: str) -> set[str]:
    """What the pattern's group finds in a document's code."""
    return set(re.findall(pattern, code(document.read_text(encoding="utf-8"))))


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and mkdocs.yml make it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in HEADING.findall(prose(page.read_text(encoding="utf-8")))}


def links(document: Path) -> Iterator[str]:
    """The targets of a document's links within the project."""
    for target in LINK.findall(CODE.sub("", prose(document.read_text(encoding="utf-8")))):
        if not re.match(r"[a-z]+:", target):
            yield target


def is_module(name: str) -> bool:
    """Is a dotted name a module of the project that can be run or imported?"""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def defines(module: str, name: str) -> bool:
    """Is a name a module below `module`, or defined at its top level?"""
    path = ROOT.joinpath(*module.split("."))
    if (path / f"{name}.py").is_file() or (path / name).is_dir():
        return True
    source = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    if not source.is_file():
        return False
    return name in set(top_level(ast.parse(source.read_bytes())))


def top_level(module: ast.Module) -> Iterator[str]:
    """The functions, classes and values of a module."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@each_document
def test_links_lead_to_a_file_and_a_heading_of_it(document: Path) -> None:
    broken = []
    for target in links(document):
        path, _, anchor = target.partition("#")
        page = (document.parent / path).resolve() if path else document
        if not page.exists() or (anchor and anchor not in anchors(page)):
            broken.append(target)
    assert not broken


@each_document
def test_paths_exist(document: Path) -> None:
    paths = named(document, rf"(?:^|[\s(])((?:{'|'.join(FOLDERS)})[^\s`,;:)]*)")
    patterns = {path: re.sub(r"<[^>]*>", "*", path).rstrip("./") for path in paths}
    missing = [path for path, pattern in patterns.items() if not any(ROOT.glob(pattern))]
    assert not [path for path in missing if not MADE_BY_THE_READER.search(path)]


@each_document
def test_modules_exist(document: Path) -> None:
    assert not [name for name in named(document, r"python -m (vlkd_steps(?:\.\w+)*)(?![\w.<])") if not is_module(name)]


@each_document
def test_names_of_the_package_exist(document: Path) -> None:
    """Dotted names, and what the examples in Python import."""
    dotted = named(document, r"(?<![\w./-])(vlkd_steps(?:\.(?!txt)\w+)+)")
    imports = named(document, r"from (vlkd_steps[\w.]*) import ([\w, ]+)")
    pairs = {tuple(name.rsplit(".", 1)) for name in dotted if not is_module(name)}
    pairs |= {(module, name.strip()) for module, names in imports for name in names.split(",")}
    assert not [pair for pair in pairs if not defines(*pair)]


@each_document
def test_presets_exist(document: Path) -> None:
    presets = {path.stem for path in (ROOT / "vlkd_steps" / "conf" / "experiment").glob("*.yaml")}
    assert named(document, r"(?:vlkd (?:plan|track|claims|tune) |EXPERIMENT=|experiment[=:] ?)([a-z]\w*)") <= presets


@each_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
    assert named(document, r"(?:^|[\s;&])make (?:[A-Z]+=\S+ )*([a-z][\w-]*)") <= targets


def test_every_page_is_in_the_navigation() -> None:
    named_pages = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert named_pages == {page.relative_to(ROOT / "docs").as_posix() for page in PAGES}


def test_the_reference_is_of_subpackages_that_exist() -> None:
    shown = [name for page in PAGES for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.M)]
    assert len(shown) > 10
    assert not [name for name in shown if not ROOT.joinpath(*name.split("."), "__init__.py").is_file()]


@each_document
def test_subcommands_exist(document: Path) -> None:
    assert named(document, r"(?:^|`|\$ |&& )vlkd ([a-z]+)") <= set(main.COMMANDS)
