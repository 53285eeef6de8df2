"""What each job is told: the values that it reads and its teachers; and which data it lacks."""

import dataclasses
import shlex
import subprocess
from pathlib import Path

import pytest
from compositions import PARAMS

from vlkd_steps.config import composition, jobs, users_files
from vlkd_steps.config.models.composition import Cell
from vlkd_steps.config.models.source import Local
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.step import parse_config


def test_a_job_gets_only_the_values_it_reads(params) -> None:
    """A changed learning rate must not draw new splits, a new shot must not train the old ones again."""
    before = composition.compose(params())
    after = composition.compose(
        params(overrides={"training.learning_rate": 1.0}, grid={**PARAMS["grid"], "shot": [40, "1pct", 50]})
    )
    for cut in (
        lambda c: jobs.prepare(c, "scenes_smoke_vqa"),
        lambda c: jobs.split_train(c, "scenes_smoke_vqa", "40"),
        lambda c: jobs.split_eval(c, "scenes_smoke_vqa", "test"),
        lambda c: jobs.extract(c, "clip_scenes", "scenes_smoke_vqa"),
        lambda c: jobs.evaluate(c, Cell("scenes_smoke_vqa", "vilt_scenes", "clip_td", "40")),
    ):
        assert cut(before) == cut(after)


def test_null_in_a_teachers_file_is_a_key_that_is_left_out(params) -> None:
    extractor = "teachers.boxes_scenes"
    changes = {f"{extractor}.pool": None, f"{extractor}.by_dataset": {"scenes_smoke_vqa": {"shard_size": None}}}
    composed = composition.compose(params(grid={**PARAMS["grid"], "student": ["uniter_scenes"]}, overrides=changes))
    told = jobs.extract(composed, "boxes_scenes", "scenes_smoke_vqa")["teacher"]
    assert None not in told.values()
    assert "pool" not in told


def test_all_missing_data_are_reported_at_once(params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    composed = composition.compose(params(), experiment="paper_snli_ve")
    missing = users_files.missing(composed)
    assert sorted(missing["download"]) == ["flickr30k", "snli_ve"]
    assert list(missing["extract"]) == ["butd snli_ve"]
    assert list(missing["distill"]) == ["uniter_base", "uniter_large"]
    text = users_files.missing_message("paper_snli_ve", missing)
    assert text.count("put") >= 2
    for name in ("snli_ve_train.jsonl", "data/incoming/butd/flickr30k", "models/official/uniter-base.pt"):
        assert name in text
    assert users_files.incoming(composed, "snli_ve") == []


def test_a_file_whose_name_looks_like_a_wildcard_is_watched_and_no_input(
    params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data/incoming/snli_ve")
    folder.mkdir(parents=True)
    names = ["photo{1}.jpg", "photo 2.jpg", "a{source}.json"]
    for name in names:
        (folder / name).touch()
    sources = {"name": "mine", "kind": "local", "path": folder.as_posix()}
    composed = composition.compose(params())
    with_mine = dataclasses.replace(composed, sources={"mine": Local(**sources)})
    assert users_files.incoming(with_mine, "mine") == ["data/incoming/snli_ve/photo 2.jpg"]
    before = users_files.listing(with_mine, "mine")
    (folder / "photo{1}.jpg").write_text("another")
    assert users_files.listing(with_mine, "mine") != before


def test_the_copies_of_a_users_files_are_known_but_for_archives(
    params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path("data/incoming/mine")
    source = Local(name="mine", kind="local", path=root.as_posix(), unpack=("*.zip",))
    composed = dataclasses.replace(composition.compose(params()), sources={"mine": source})
    assert users_files.copied(composed, "mine") == {}  # as in a clone
    (root / "b").mkdir(parents=True)
    for name in ("a.zip", "b/c.jpg", "d.json"):
        (root / name).touch()
    raw = Path("data/raw/mine")
    assert users_files.copied(composed, "mine") == {root / "d.json": raw / "d.json", root / "b/c.jpg": raw / "b/c.jpg"}


def test_two_teachers_of_a_variant_are_allowed_wherever_one_is(params) -> None:
    grid = {**PARAMS["grid"], "variant": ["finetune", "mad", "mad_clip", "plug_in"]}
    eyes, ears = "efficientnet_lite0_scenes", "minilm_l6"
    composed = composition.compose(params(grid=grid))
    assert composed.artifacts.teacher == ["clip_scenes", eyes, f"{eyes}_patches", ears]
    job = jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "mad", "40"))
    assert job["teacher"] == {
        "name": f"{eyes}+{ears}",
        "vision": {"name": eyes, "kind": "vision"},
        "text": {"name": ears, "kind": "text"},
    }
    manifests = [f"features/{name}/scenes_smoke_vqa/manifest.json" for name in (eyes, ears)]
    assert jobs.features_of(composed, "mad", "scenes_smoke_vqa") == manifests
    # the towers of one CLIP are one teacher, so that cosines between images and words mean something
    clip = jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "mad_clip", "40"))
    assert clip["teacher"] == {"name": "clip_scenes", "kind": "clip"}
    assert len(jobs.features_of(composed, "mad_clip", "scenes_smoke_vqa")) == 1
    assert {run["variant"]: run["teacher"] for run in jobs.runs(composed)} == {
        "finetune": None, "mad": f"{eyes}+{ears}", "mad_clip": "clip_scenes", "plug_in": f"{eyes}_patches"
    }  # fmt: skip
    assert "dev" in jobs.extract(composed, f"{eyes}_patches", "scenes_smoke_vqa")["dataset"]["roles"]
    assert set(jobs.extract(composed, eyes, "scenes_smoke_vqa")["dataset"]["roles"]) == {"train"}


def test_a_probe_reads_stored_features_also_of_what_is_evaluated(params) -> None:
    composed = composition.compose(params(grid={**PARAMS["grid"], "variant": ["finetune", "clip_probe"]}))
    job = jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "clip_probe", "40"))
    assert job["teacher"] == {"name": "clip_scenes_patches", "kind": "clip"}
    assert jobs.targets(composed) == {}
    with pytest.raises(UserError, match=r"'clip_scenes', whose features are those of training items, .*splits: used"):
        composition.compose(params(overrides={"variants.clip_probe.teacher": "clip_scenes"}))


def test_a_method_of_soft_answers_has_them_computed_once_for_all_strengths(params) -> None:
    grid = {**PARAMS["grid"], "variant": ["finetune", "logit_kd"]}
    found = [
        jobs.targets(composition.compose(params(grid=grid, overrides={"variants.logit_kd.lambda0": strength})))
        for strength in (1, 3)
    ]
    assert found[0] == found[1]
    assert {job["targets"]["answers"]["kept"] for job in found[0].values()} == {32}


def test_a_variant_may_be_given_another_teacher(params) -> None:
    changes = {"variants.clip_td.teacher": "clip_vit_b32"}
    composed = composition.compose(params(overrides=changes))
    assert composed.artifacts.teacher == ["clip_vit_b32"]
    assert (
        jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "clip_td", "40"))["teacher"]["name"]
        == "clip_vit_b32"
    )
    with pytest.raises(UserError, match=r"names 'clip_vit_b23', which does not exist; did you mean 'clip_vit_b32'\?"):
        composition.compose(params(overrides={"variants.clip_td.teacher": "clip_vit_b23"}))


@pytest.mark.parametrize("word", ["answer", "ответ", "don't", "ça", "答え"])
def test_a_configuration_of_any_script_fits_into_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (10, 5000, 9000, 20_000):
        config = {"answers": [word] * number}
        text = jobs.argument(config)
        subprocess.run(f"true --config {shlex.quote(text)}", shell=True, check=True)
        assert parse_config(text) == config
