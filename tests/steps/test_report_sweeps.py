"""The page of an experiment with sweeps."""

import re


def test_what_was_swept_is_drawn_and_listed(swept: tuple[str, list[dict[str, str]]]) -> None:
    page, rows = swept
    section = page[page.index('<section id="swept">') : page.index('<section id="gallery">')]
    figures = re.findall(r'aria-label="((?:dev|test)[ ,][^"]*)"', section)
    assert len(figures) == 2 * 2 + 2  # a map for each set and shot; a curve for each set
    assert figures[0].startswith("dev, ")
    mean = {(row["variant"], row["evaluation_set"], row["shot"]): float(row["mean"]) for row in rows}
    assert f"{mean['clip_td_3_p', 'dev', '100']:.1f} with lambda0 3 and learning_rate 0.001" in figures[0]
    assert f"at 300: {mean['naive_kd_1', 'test', '300']:.1f} with 1, " in figures[-1]
    cells = re.findall(r'<tr><th scope="row" class="n">1</th><th scope="row" class="n">0.004</th>(.*?)</tr>', section)
    assert len(re.findall("<td", cells[0])) == 4
    assert f"{mean['clip_td_1_q', 'test', '300']:.1f} ±" in cells[0]


def test_members_are_called_by_their_values_and_the_best_on_dev_leads(
    swept: tuple[str, list[dict[str, str]]],
) -> None:
    page, rows = swept
    assert {row["label"] for row in rows if row["variant"] == "clip_td_1_q"} == {"clip_td[1, 0.004]"}
    assert "<code>clip_td[1, 0.004]</code>" in page
    assert "<code>clip_td_1_q</code>" not in page
    on_dev: dict[str, float] = {}
    for row in rows:
        if row["evaluation_set"] == "dev" and row["method"] == "clip_td":
            on_dev[row["label"]] = on_dev.get(row["label"], 0) + float(row["mean"])
    told = re.findall(r"(?:<h1>|<b>)(clip_td\[[^]]*\])", page[: page.index("<main>")])
    assert told == [max(on_dev, key=lambda label: on_dev[label])]
