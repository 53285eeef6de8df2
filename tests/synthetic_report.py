"""The reports of synthetic runs, made once for all test processes, and a reader of their page."""

import csv
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import synthetic_results
from shared_folders import made_once

from vlkd_steps.steps import compare, evaluate, report

RESULTS = Path("results/scenes")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A project folder with evaluated and compared runs, to be copied by tests that change it."""
    config = synthetic_results.configuration(shots=("100", "300"), sets=("dev", "test", "other_style"))

    def make(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            synthetic_results.write(config, images=60, questions=2, steps=40)
            for each in synthetic_results.evaluations(config):
                assert evaluate.main(["--config", json.dumps(each)]) == 0
            assert compare.main(["--config", json.dumps(config)]) == 0
            assert report.main(["--config", json.dumps(config)]) == 0

    return made_once("finished_report/project", tmp_path_factory, make), config


@pytest.fixture
def config(finished: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    shutil.copytree(finished[0], tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return json.loads(json.dumps(finished[1]))


@pytest.fixture
def html(config: dict) -> str:
    """The page of the unchanged project, whose copy is the current folder."""
    return (RESULTS / "report.html").read_text()


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, str]]]:
    """The page and gains.csv of an experiment with two sweeps, one of two keys, on dev and test."""
    sweeps = {
        "clip_td": {"clip_td_1_p": (1, 1e-3), "clip_td_1_q": (1, 4e-3), "clip_td_3_p": (3, 1e-3)},
        "naive_kd": {"naive_kd_1": (1,), "naive_kd_10": (10,)},
    }
    members = {
        name: {"variant": variant, "label": f"{variant}{list(values)}",
               "values": dict(zip(("lambda0", "learning_rate"), values, strict=False))}
        for variant, of_variant in sweeps.items() for name, values in of_variant.items()
    }  # fmt: skip

    def make(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            variants = ("finetune", *members)
            config = synthetic_results.configuration(variants, ("100", "300"), (1, 2), ("scenes_vqa",), ("dev", "test"))
            for each in config["runs"]:
                member = members.get(each["variant"])
                each |= {"method": member["variant"] if member else "finetune"}
                each |= {"label": member["label"] if member else each["variant"]}
            synthetic_results.write(config, images=30, questions=2, steps=20)
            for each in synthetic_results.evaluations(config):
                assert evaluate.main(["--config", json.dumps(each)]) == 0
            assert compare.main(["--config", json.dumps(config)]) == 0
            run(config | {"swept": members})

    results = made_once("swept_report/project", tmp_path_factory, make) / RESULTS
    with (results / "gains.csv").open(newline="") as stream:
        return (results / "report.html").read_text(), list(csv.DictReader(stream))


def run(config: dict) -> str:
    assert report.main(["--config", json.dumps(config)]) == 0
    return (RESULTS / "report.html").read_text()


class Page(HTMLParser):
    """The page's table rows, images and addresses; fails on tags that do not nest."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "path", "use", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.images: list[dict] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attributes = dict(attrs)
        self.addresses += [attributes[name] for name in ("src", "href", "xlink:href") if name in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "img":
            self.images.append(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.rows and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
