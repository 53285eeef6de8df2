"""The page's gallery of items that one variant answers right and another wrong."""

import re
from pathlib import Path

import polars as pl
import pytest
from sealed import seal
from synthetic_report import Page, run

from vlkd_steps.config.extra_evals import Evaluation
from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.reporting.gallery import gallery


def test_gallery_shows_where_one_is_right_and_the_other_wrong(html: str) -> None:
    parts = re.split(r"<h4>", html[html.index('id="gallery"') : html.index('id="training"')])[1:]
    assert len(parts) == 4
    for number, part in enumerate(parts):
        hero, other = ("clip_td", "finetune") if number % 2 == 0 else ("finetune", "clip_td")
        assert re.findall(r"<code>(\w+)</code>", part)[:2] == [hero, other]
        cards = part.split('<li class="item">')[1:]
        shown, there_are = map(int, re.search(r"(\d+) of (\d+) items", part).groups())
        assert len(cards) == shown == min(12, there_are)
        assert cards or "There is no such item." in part
        assert cards or hero == "finetune"
        for card in cards:
            verdict = dict(re.findall(r"<code>(\w+)</code></span>.*?right with (\d) of 3 seeds", card, flags=re.DOTALL))
            assert int(verdict[hero]) - int(verdict[other]) >= 2
        images = re.findall(r'alt="Test image (\d+\.png)"', part)
        assert len(images) == len(set(images)) == len(cards)


def test_gallery_shows_what_annotators_answered_and_the_usual_answer_first(config: dict) -> None:
    path = layout.instances("scenes_vqa")
    table = pl.read_parquet(path)
    odd = ~pl.col("instance_id").str.contains("-0000[0-2][0-9]-1")
    extra = pl.col("extra").str.replace(
        '"multiple_choice_answer": "[^"]*"', '"multiple_choice_answer": "none gives it"'
    )
    table.with_columns(extra=pl.when(odd).then(extra).otherwise("extra")).write_parquet(path)
    seal()
    html = run(config)
    gallery = html[html.index('id="gallery"') : html.index('id="training"')]
    assert "at least two of the ten annotators gave the answer" in gallery
    assert "the class is the gold label" in gallery
    wins = gallery.split("<h4>")[1].split('<li class="item">')[1:]
    told = [re.search(r"annotated</span> <b>(.*?)</b>", card)[1] for card in wins]
    assert all(re.fullmatch(r"\w+ \d+(, \w+ \d+)*", each) for each in told)
    assert all(sum(map(int, re.findall(r" (\d+)", each))) == 10 for each in told)
    scores = [re.findall(r"\d/3 · (\d\.\d\d)", card) for card in wins]
    assert all(len(each) == 3 for each in scores)
    usual = {
        (image.rpartition("/")[2], text)
        for image, text in table.filter(~odd, split="test").select("image_path", "text").iter_rows()
    }
    shown = [re.search(r'Test image (.*?)".*"question">(.*?)<', card, flags=re.DOTALL).groups() for card in wins]
    first = [each in usual for each in shown]
    assert first == sorted(first, reverse=True)
    assert {*first} == {True, False}


def test_gallery_images_are_the_files_enlarged_by_their_pixels(html: str) -> None:
    page = Page(html)
    assert page.images
    assert all(image["class"] == "pixels" and image["width"] == "48" and image["alt"] for image in page.images)


def test_the_gallery_is_of_a_shot_and_student_that_both_have(config: dict) -> None:
    evaluation = Evaluation("test", "scenes_vqa", "vqa", "test", {})
    of_both = [run for run in config["runs"] if (run["variant"], run["shot"]) != ("finetune", "300")]
    found = gallery("scenes", of_both, "scenes_vqa", evaluation, "clip_td", "finetune")
    assert found is not None
    assert found.shot == "100"
    others = [{**run, "student": "other"} for run in config["runs"] if run["variant"] == "clip_td"]
    found = gallery("scenes", [*others, *config["runs"]], "scenes_vqa", evaluation, "clip_td", "finetune")
    assert found is not None
    assert found.shot == "300"


def test_answers_that_were_changed_after_training_are_not_shown(config: dict) -> None:
    for path in Path("runs").rglob("predictions/test.parquet"):
        pl.read_parquet(path).with_columns(answer=pl.lit("changed")).write_parquet(path)
    evaluation = Evaluation("test", "scenes_vqa", "vqa", "test", {})
    with pytest.raises(UserError, match=r"test\.parquet is damaged, or was changed after it was made"):
        gallery("scenes", config["runs"], "scenes_vqa", evaluation, "clip_td", "finetune")
