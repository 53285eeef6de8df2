"""Names of outside origin stay in their folder; and nothing joins them to a path in another way."""

import ast
from pathlib import Path

import pytest

from vlkd_steps.core import inside, layout
from vlkd_steps.core.errors import UserError

LEAVING = ["/etc/passwd", "..", "../x", "a/../../x", "a/..", "~/x", "~", "..\\x", "a\\b", "C:x", "C:/x", "file:x", "/"]
WRONG = [*LEAVING, "", "a\0b", "\x1b[31m", "a\nb", "\udc80", "x" * 256, "é" * 128, "a/" * 2100 + "b", None, 3, ["a"]]


@pytest.mark.parametrize("text", [*WRONG, ".", "./", "./."])
def test_what_is_no_file_inside_is_refused_with_the_place_that_says_it(tmp_path: Path, text: object) -> None:
    with pytest.raises(UserError, match=r"train\.jsonl: line 3\.img_fn is .*name a file below"):
        inside.path(tmp_path, text, "train.jsonl: line 3.img_fn")


@pytest.mark.parametrize("text", ["a", "a/b.jpg", "COCO_val2014_000000000002.jpg", "lsmdc_1054/1054@0.jpg", "ž öñ.png"])
def test_ordinary_names_are_taken_as_they_are(tmp_path: Path, text: str) -> None:
    assert inside.path(tmp_path, text, "") == tmp_path / text


def test_a_folder_may_be_the_root_itself(tmp_path: Path) -> None:
    assert inside.folder(tmp_path, ".", "") == tmp_path


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    (root / "secret").symlink_to("/etc/passwd")
    (root / "near").symlink_to("real")
    for text in ("secret", "out/x", "out", "near/../x"):
        with pytest.raises(UserError, match=r"leads out of the folder|would leave"):
            inside.path(root, text, "")
    assert inside.path(root, "near/x", "") == root / "near/x"
    assert inside.path(root, "secret", "", links=True) == root / "secret"
    with pytest.raises(UserError, match="leads out of the folder"):
        inside.path(root, "out/x", "", links=True)


def test_a_root_that_is_a_link_itself_and_dvcs_links_are_followed(tmp_path: Path) -> None:
    cache = tmp_path / "cache/files/md5/0a" / ("b" * 30)
    cache.parent.mkdir(parents=True)
    cache.touch()
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to("disk")
    (tmp_path / "root" / "1.jpg").symlink_to(cache)
    assert inside.path(tmp_path / "root", "1.jpg", "") == tmp_path / "root/1.jpg"


@pytest.mark.parametrize(
    "name", [*(text for text in WRONG if isinstance(text, str)), ".", "a/b", ".downloads", "x" * 201]
)
def test_no_artifact_is_named_out_of_its_folder(name: str) -> None:
    makers = (
        layout.raw, layout.raw_manifest, layout.checksums, layout.instances, layout.labels, layout.model, layout.runs,
        layout.results, layout.instances_checksums, lambda name: layout.features(name, "a"),
        lambda name: layout.features("a", name), lambda name: layout.headline("a", name),
        lambda name: layout.phase_manifest(name, "split"), lambda name: layout.submission("distill", name),
        lambda name: layout.run("e", "d", "s", name, "full", 1),
    )  # fmt: skip
    for make in makers:
        with pytest.raises(UserError, match="cannot name a file or folder of this project"):
            make(name)


JOINED_ELSEWHERE = {
    # a role of an entry of `files`: `steps.prepare` has checked it for every reader
    "datasets/captions.py", "datasets/flickr30k.py", "datasets/karpathy.py", "datasets/snli_ve.py", "datasets/vcr.py",
    "datasets/vqa_v2.py",
}  # fmt: skip


def test_nothing_joins_a_value_from_outside_to_a_path_in_another_way(root: Path) -> None:
    """What a record, a configuration or a mapping holds (``x["name"]``, ``x.get("name")``) goes through `inside`."""
    found = []
    for subpackage in ("datasets", "sources", "teachers/regions", "steps", "graph", "splits", "scoring"):
        for module in sorted((root / "vlkd_steps" / subpackage).rglob("*.py")):
            for node in ast.walk(ast.parse(module.read_bytes())):
                if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and from_outside(node.right):
                    found.append(f"{module.relative_to(root / 'vlkd_steps')}: {ast.unparse(node)}")
    wrong = [each for each in found if each.partition(":")[0] not in JOINED_ELSEWHERE]
    assert wrong == []


def from_outside(node: ast.expr) -> bool:
    """``x["name"]``, ``x.get("name")``, ``str(x["name"])``, an f-string or a `or` with one of them."""
    inner = [each for each in ast.walk(node) if isinstance(each, ast.Subscript | ast.Call)]
    return any(
        isinstance(each.slice, ast.Constant) and isinstance(each.slice.value, str)
        if isinstance(each, ast.Subscript)
        else isinstance(each.func, ast.Attribute) and each.func.attr in ("get", "format")
        for each in inner
    )
