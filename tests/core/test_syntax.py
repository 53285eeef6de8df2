import ast
import hashlib
from pathlib import Path

import pytest

from vlkd_steps.core import syntax


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text("from ..a import b\nimport c.d\n\n\ndef f():\n    from . import g\n")
    return path


def test_imports_by_level_module_and_names(source: Path) -> None:
    found = syntax.Sources(source.parent).read(source).imports
    assert found == ((2, "a", ("b",)), (0, "c.d", ()), (1, "", ("g",)))


def test_what_was_kept_is_not_parsed_again_and_an_edit_is(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = syntax.Sources(source.parent)
    read = first.read(source)
    first.keep()
    parsed = []
    parse = ast.parse
    monkeypatch.setattr(syntax.ast, "parse", lambda content, filename: parsed.append(filename) or parse(content))

    later = syntax.Sources(source.parent)
    assert later.read(source) == read
    assert not parsed
    source.write_text(source.read_text() + "    return g\n")
    assert later.read(source).tree != read.tree
    assert parsed == [str(source)]


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": 1', b"\xff", b'{"KEY": 1}', b'{"KEY": [[3], "a"]}'])
def test_a_damaged_file_is_as_none(source: Path, content: bytes) -> None:
    read = syntax.Sources(source.parent).read(source)
    first = syntax.Sources(source.parent)
    first.read(source)
    first.keep()
    [kept] = (source.parent / "__pycache__").iterdir()
    kept.write_bytes(content.replace(b"KEY", hashlib.sha256(source.read_bytes()).hexdigest().encode()))
    assert syntax.Sources(source.parent).read(source) == read


def test_a_folder_that_cannot_be_written_is_no_error(source: Path) -> None:
    (source.parent / "__pycache__").write_text("a file")
    sources = syntax.Sources(source.parent)
    sources.read(source)
    sources.keep()
