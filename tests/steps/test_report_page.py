"""The page as a whole and the files beside it: complete, the same again, safe, and about one variant."""

import csv
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import polars as pl
import pytest
from sealed import seal
from synthetic_report import RESULTS, Page, run

from vlkd_steps.core import layout
from vlkd_steps.reporting.experiment import CURVES
from vlkd_steps.tracking import journal

FIGURES = ["learning_curves.svg", "gains.svg", "loss_curves.svg"]


def test_the_page_is_whole_and_needs_nothing_else(html: str) -> None:
    page = Page(html)
    assert page.addresses
    *folders, links = [address for address in page.addresses if not address.startswith(("#", "data:image/"))]
    assert len(folders) == 36
    assert all((RESULTS / address).is_dir() for address in folders)  # the runs'
    assert (RESULTS / links).resolve() == layout.mlflow_links("scenes").resolve()  # may be missing
    assert len(page.ids) == len(set(page.ids))
    anchors = [address[1:] for address in page.addresses if address.startswith("#")]
    assert set(anchors) <= set(page.ids)


def test_the_page_says_how_to_reproduce_and_to_cite(config: dict, root: Path) -> None:
    shutil.copy(root / "CITATION.cff", ".")
    shutil.copy(root / "requirements.lock", ".")
    html = run(config)
    section = html[html.index('<section id="reproduce">') :]
    assert "in the experiment <code>scenes</code>" in section
    assert 'tags.run_key = "KEY"' in section
    section = section[: section.index("</section>")]
    commands = re.search(r"<code>(git.*?)</code>", section, flags=re.DOTALL)[1].splitlines()
    commit = "git checkout 0123456789abcdef0123456789abcdef01234567"
    assert commands == [commit, "pip install -r requirements.lock", "vlkd run scenes"]
    assert re.findall(r"arXiv:[0-9.]+\d", section) == ["arXiv:2201.05729", "arXiv:2204.10496", "arXiv:2203.06386"]


def test_every_journal_is_read_once_and_figures_on_the_page_are_short(
    config: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    read_journal = journal.read
    monkeypatch.setattr(journal, "read", lambda path: seen.append(path) or read_journal(path))
    html = run(config)
    assert len(seen) == len(set(seen)) == len(config["runs"])
    drawn = re.findall("<svg.*?</svg>", html, flags=re.DOTALL)
    assert drawn
    assert not any(re.search(r"\d\.\d{4}|<g id=", each) for each in drawn)


def test_plots_are_the_same_bytes_and_hold_no_date(config: dict) -> None:
    before = [(RESULTS / "plots" / name).read_bytes() for name in FIGURES]
    run(config)
    assert [(RESULTS / "plots" / name).read_bytes() for name in FIGURES] == before
    for content in before:
        ElementTree.fromstring(content)
        assert b"dc:date" not in content


def test_learning_curves_csv_repeats_gains_csv(config: dict) -> None:
    with (RESULTS / "plots/learning_curves.csv").open() as curves, (RESULTS / "gains.csv").open() as gains:
        wanted = [{key: row[key] for key in CURVES} for row in csv.DictReader(gains)]
        assert list(csv.DictReader(curves)) == wanted


def test_the_highlighted_variant_leads(config: dict) -> None:
    assert re.search(r"<h1>(\w+)", (RESULTS / "report.html").read_text())[1] == "clip_td"
    config["highlight"] = "naive_kd"
    html = run(config)
    assert re.search(r"<h1>(\w+)", html)[1] == "naive_kd"
    assert "<code>naive_kd</code> right" in html


def test_text_from_data_is_escaped(config: dict) -> None:
    path = layout.instances("scenes_ve")
    table = pl.read_parquet(path)
    table.with_columns(text=pl.lit("<script>alert(1)</script> & more")).write_parquet(path)
    seal()
    html = run(config)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in html
