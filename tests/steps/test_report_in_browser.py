"""The page in a real browser."""

from pathlib import Path

import pytest
from in_browser import opened, reached_by_tab, violations
from synthetic_report import RESULTS

from vlkd_steps.core import layout
from vlkd_steps.reporting import mlflow_links


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.exhaustive)])
def test_everybody_can_read_the_page(
    finished: tuple[Path, dict], swept: tuple[str, list], scheme: str, tmp_path: Path
) -> None:
    other = tmp_path / "swept.html"
    other.write_text(swept[0], encoding="utf-8")
    for path in (finished[0] / RESULTS / "report.html", other):
        with opened(path.as_uri(), scheme) as page:
            assert page.locator("img:not([alt]), svg:not([aria-label]):not([aria-hidden])").count() == 0
            assert violations(page) == []
            links = [link.inner_text() for link in page.locator("nav a").all()]
            assert reached_by_tab(page, len(links)) == [f"a {text}" for text in links]


def test_tracked_runs_are_linked_to_mlflow_without_another_page(config: dict, html: str) -> None:
    mlflow_links.write("scenes", "http://127.0.0.1:5001", "7", {f"{0:016x}": "of run 0", "of another run": "x"})
    assert (RESULTS / "report.html").read_text() == html
    address = (Path.cwd() / RESULTS / "report.html").as_uri()
    with opened(address) as page:
        page.locator("#every-run").evaluate("e => e.open = true")
        links = page.locator("a[href*=':5001']").all()
        shown = [[link.inner_text(), link.get_attribute("href")] for link in links]
        beside = page.locator("a:has(+ a[href$='run 0'])").get_attribute("href")
        assert "vlkd track" not in page.locator("#mlflow").inner_text()
        assert violations(page) == []
    (of_experiment, first), run = shown[0], shown[1:]
    assert of_experiment == "Means over their seeds"
    assert first.startswith("http://127.0.0.1:5001/#/experiments/7/runs?")
    assert run == [["MLflow", "http://127.0.0.1:5001/#/experiments/7/runs/of run 0"]]
    first_run = config["runs"][0]
    place = layout.run("scenes", *(first_run[key] for key in ("dataset", "student", "variant", "shot", "seed")))
    assert beside == f"../../{place}/"
    layout.mlflow_links("scenes").unlink()
    with opened(address) as page:
        assert "vlkd track scenes" in page.locator("#mlflow").inner_text()
        assert page.get_by_text("MLflow", exact=True).count() == 0
