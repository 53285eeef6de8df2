"""What runs that train nothing answer on scenes."""

import itertools
import json
from pathlib import Path

import polars as pl
from vlkd_scenes import conf, job
from vlkd_scenes import project as project

from vlkd_steps.core import layout
from vlkd_steps.runs import seeds
from vlkd_steps.runs.run_dir import RunDir


def test_what_trains_nothing_answers_by_clip_or_by_what_is_commonest(project: Path) -> None:
    dataset = job()["dataset"] | {
        "extra_evals": {
            "open": {"dataset": "scenes_vqa", "task": "vqa", "set": "dev", "train": "train"},
            "captions": {"dataset": "scenes_wide_captions", "task": "captioning", "set": "dev"},
            "kept": {"measure": "forgetting", "size": 30},
        }
    }
    table = pl.read_parquet(layout.instances("scenes_vqa")).filter(pl.col("split") == "train")
    corpus = pl.read_parquet(layout.instances("scenes_wide_captions")).filter(pl.col("split") == "train")["text"]
    answers = {}
    for by, given in itertools.product(("clip", "commonest"), ("nothing", "question_type")):
        variant = f"{by}_{given}"
        config = job(dataset=dataset, variant=variant, teacher=conf("teacher/clip_scenes") if by == "clip" else None)
        config["method"] = {"name": "baseline", "by": by, "given": given}
        assert seeds.train_seeds(config) == 0
        place = RunDir.of(config, 1)
        assert place.finished()
        answers[variant] = pl.read_parquet(place.predictions("open"))
        assert set(pl.read_parquet(place.predictions("captions"))["answer"]) <= set(corpus)
        assert place.predictions("kept").read_text().strip() == "{}"
    gold = pl.col("extra").map_elements(lambda extra: json.loads(extra)["multiple_choice_answer"], pl.String)
    known = table.with_columns(gold)
    best = known["extra"].value_counts().sort(["count", "extra"], descending=[True, False])[0, 0]
    assert set(answers["commonest_nothing"]["answer"]) == {best}
    listed = set(json.loads(layout.labels("scenes_vqa").read_text()))
    assert set(answers["clip_nothing"]["answer"]) <= listed
    of_type = {group: set(part["extra"]) for (group,), part in known.group_by("group")}
    groups = pl.read_parquet(layout.instances("scenes_vqa")).select("instance_id", "group")
    for variant in ("clip_question_type", "commonest_question_type"):
        for answer, group in answers[variant].join(groups, on="instance_id").select("answer", "group").iter_rows():
            known_to_it = of_type.get(group, set()) & (listed if variant.startswith("clip") else of_type[group])
            assert not known_to_it or answer in known_to_it
    assert answers["commonest_question_type"]["answer"].n_unique() > 1
