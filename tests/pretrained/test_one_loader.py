"""Models of others reach a library in `vlkd_steps.pretrained` alone, which never runs their code."""

import ast
from pathlib import Path

import pytest

LOADERS = {
    "from_pretrained", "create_model", "create_model_and_transforms", "create_model_from_pretrained", "get_tokenizer",
    "load_checkpoint", "snapshot_download", "hf_hub_download", "load_state_dict_from_url", "pipeline",
}  # fmt: skip
TRUSTING = {"from_pretrained", "from_config"}


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]


def named(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def of(call: ast.Call) -> str:
    return ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""


@pytest.fixture(scope="module")
def modules(request: pytest.FixtureRequest) -> list[Path]:
    package = Path(__file__).resolve().parents[2] / "vlkd_steps"
    return sorted(package.rglob("*.py"))


def test_no_call_of_a_library_bypasses_the_loader(modules: list[Path]) -> None:
    found = [
        f"{path}:{call.lineno} {of(call)}.{named(call)}"
        for path in modules
        if path.parent.name != "pretrained"
        for call in calls(path)
        if named(call) in LOADERS and of(call) != "nn.Embedding"
    ]
    assert not found, "\n".join(found)


def test_every_call_of_transformers_refuses_code_of_a_folder(modules: list[Path]) -> None:
    seen = 0
    for path in modules:
        for call in calls(path):
            if named(call) in TRUSTING and of(call) != "nn.Embedding":
                seen += 1
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
                assert given.get("trust_remote_code") == "False", f"{path}:{call.lineno}"
    assert seen == 3


def test_pickles_are_read_by_the_restricted_unpickler_alone(modules: list[Path]) -> None:
    for path in modules:
        for call in calls(path):
            if (of(call), named(call)) in {("torch", "load"), ("pickle", "load"), ("pickle", "loads")}:
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
                assert given.get("weights_only") == "True", f"{path}:{call.lineno}"
