"""Screenshots for the README: the MLflow compare view and the report, from this project's runs.

    python -m venv /tmp/pw && /tmp/pw/bin/pip install playwright && apt-get install chromium
    .venv/bin/vlkd ui        (in another terminal; copy a "mean gains on" or "gains on" link that it prints)
    /tmp/pw/bin/python scripts/screenshots.py --compare 'LINK' --report results/scenes/report.html --out docs/images

Needs a Chromium and playwright, neither of which the pipeline itself needs; either image may be left out.
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

CLOSE_ASSISTANT = """
localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');
"""


def compare_view(browser: Browser, link: str, path: Path) -> None:
    """MLflow's charts, once they are drawn; without the notice that the view is a shared one."""
    page = browser.new_page(viewport={"width": 1700, "height": 1050})
    page.add_init_script(CLOSE_ASSISTANT)
    page.goto(link)
    page.locator(".js-plotly-plot").nth(2).wait_for(timeout=120_000)
    page.wait_for_timeout(5_000)  # the charts fade in
    notice = page.get_by_text("You're viewing a shared view", exact=False)
    if notice.count():
        notice.locator("xpath=ancestor::*[@role='alert']").first.evaluate("element => element.remove()")
    page.wait_for_timeout(1_000)
    page.screenshot(path=path)


def report(browser: Browser, source: Path, path: Path, height: int) -> None:
    """The first `height` pixels of a report."""
    page = browser.new_page(viewport={"width": 1300, "height": height})
    page.goto(source.resolve().as_uri())
    page.wait_for_timeout(2_000)
    page.screenshot(path=path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", help="link of MLflow's compare view")
    parser.add_argument("--report", type=Path, help="results/<experiment>/report.html")
    parser.add_argument("--height", type=int, default=1500, help="pixels of the report to show")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="path of the browser")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Without a sandbox: containers run as root, and only our own pages are opened.
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=["--no-sandbox"])
        if arguments.compare:
            compare_view(browser, arguments.compare, arguments.out / "mlflow_compare.png")
        if arguments.report:
            report(browser, arguments.report, arguments.out / "report.png", arguments.height)
        browser.close()
    print(*sorted(str(path) for path in arguments.out.glob("*.png")), sep="\n")


if __name__ == "__main__":
    main()
