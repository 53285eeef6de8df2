"""Through the real pip, from a folder of wheels as a user's own pip configuration may name one."""

import json
import os
import zipfile

import pytest
import yaml

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import pypi

METADATA = "Metadata-Version: 2.1\nName: easy-vqa\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel like easy-vqa's, offered by pip's configuration and by no index."""
    path = tmp_path / "wheels" / "easy_vqa-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("easy_vqa-1.0.dist-info/METADATA", METADATA)
        out.writestr("easy_vqa-1.0.dist-info/WHEEL", WHEEL)
        out.writestr("easy_vqa-1.0.dist-info/RECORD", "")
        out.writestr("easy_vqa/__init__.py", "raise SystemExit('never run')")
        for split in ("train", "test"):
            out.writestr(f"easy_vqa/data/{split}/questions.json", json.dumps([["what shape is present?", "circle", 0]]))
            out.writestr(f"easy_vqa/data/{split}/images/0.png", "picture")
    (tmp_path / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {path.parent}\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    return path


@pytest.fixture
def source(root, wheel):
    conf = yaml.safe_load((root / "vlkd_steps" / "conf" / "source" / "easy_vqa.yaml").read_text())
    return conf | {"sha256": files.sha256(wheel), "adapt_share": 0.0}


def test_a_package_is_fetched_checked_and_converted(source, tmp_path):
    pypi.fetch(source, tmp_path / "raw" / "new")
    made = {path.relative_to(tmp_path / "raw").as_posix() for path in (tmp_path / "raw").rglob("*.*")}
    assert made == {
        "new/vqa/train_questions.json",
        "new/vqa/train_annotations.json",
        "new/vqa/test_questions.json",
        "new/vqa/test_annotations.json",
        "new/captions/adapt.json",
        "new/images/train/0.png",
        "new/images/test/100000.png",
    }


def test_another_limit_asks_for_the_same_files(source):
    assert pypi.decisive(source | {"limit_gib": 9}) == pypi.decisive(source)
    assert pypi.decisive(source | {"sha256": "00"}) != pypi.decisive(source)


def test_a_file_of_that_name_in_the_work_tree_is_not_run(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pip.py").write_text("raise SystemExit('the wrong pip')")
    assert pypi.download(source, tmp_path / "got").name == "easy_vqa-1.0-py3-none-any.whl"


def test_another_wheel_than_the_pinned_one_is_refused(source, tmp_path):
    with pytest.raises(UserError, match=r"has sha256 .* but conf/source/easy_vqa\.yaml pins 00.* which was not used"):
        pypi.fetch(source | {"sha256": "00"}, tmp_path / "raw" / "new")
    assert list((tmp_path / "raw").rglob("*")) == [tmp_path / "raw" / "new"]


def test_what_pip_says_reaches_the_user(source, tmp_path):
    with pytest.raises(UserError, match=r"pip could not download easy-vqa==9\.9 .*No matching dist.*pip config list"):
        pypi.download(source | {"version": "9.9"}, tmp_path / "got")


def test_an_unknown_conversion_is_refused_before_the_download(source, tmp_path):
    with pytest.raises(UserError, match=r"convert is 'hard_vqa'.*did you mean 'easy_vqa'"):
        pypi.fetch(source | {"convert": "hard_vqa"}, tmp_path / "raw")
