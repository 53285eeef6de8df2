"""A page in a real browser: what axe-core finds wrong with it, and how far a keyboard gets."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextlib.contextmanager
def opened(address: str, scheme: str = "light", problems: list[str] | None = None) -> Iterator[Any]:
    """A page of 1280 x 900 pixels in the system's Chromium; errors of its scripts are added to `problems`."""
    problems = [] if problems is None else problems
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        yield page
        browser.close()


def violations(page: Any) -> list[str]:
    """What axe-core's rules (WCAG 2 A and AA, contrast among them, and best practices) find: rule and element."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:120]}" for each in found for node in each["nodes"]]


def reached_by_tab(page: Any, presses: int) -> list[str]:
    """The elements that the Tab key gives the focus to, in order, by tag and text."""
    reached = []
    for _ in range(presses):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(e => `${e.tagName.toLowerCase()} ${e.innerText ?? ''}`.trim())(document.activeElement)")
        )
    return reached
