"""An import counts anywhere in a file, for every module of the package."""

import ast
from pathlib import Path

from vlkd_steps.core import syntax

EVERYWHERE = '''
import a0
def f():
    """Doc."""
    import a1
    async def g():
        import a2
    for _ in ():
        import a3
    else:
        import a4
    while True:
        import a5
class C:
    import a6
if x:
    import a7
elif y:
    import a8
else:
    import a9
try:
    import a10
except E:
    import a11
else:
    import a12
finally:
    import a13
with x:
    import a14
match x:
    case 1:
        import a15
'''


def imported(nodes) -> set[str]:
    return {alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}


def test_every_block_is_searched() -> None:
    found = imported(syntax._statements(ast.parse(EVERYWHERE)))
    assert found == {f"a{number}" for number in range(16)}


def test_no_import_of_the_package_is_missed(root: Path) -> None:
    for path in sorted((root / "vlkd_steps").rglob("*.py")):
        tree = ast.parse(path.read_bytes())
        assert imported(syntax._statements(tree)) == imported(ast.walk(tree)), path
