"""What the models allow is what the code knows: the models import no torch, so they name it a second time."""

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from vlkd_steps.benchmarks.scenes import write
from vlkd_steps.config.models import dataset, source, teacher
from vlkd_steps.config.models.recipe import PartialRecipe, Recipe
from vlkd_steps.methods.distances import DISTANCES
from vlkd_steps.methods.mad.objective import MAD
from vlkd_steps.methods.schedules import SCHEDULES
from vlkd_steps.methods.targeted_settings import Distance, Target, TargetedSettings
from vlkd_steps.methods.whitening import WHITENINGS
from vlkd_steps.splits import hypothesis_only, leakage, vcr_masking, vcr_rules
from vlkd_steps.teachers.features.store import Writer
from vlkd_steps.teachers.models import text
from vlkd_steps.teachers.regions import region_files, region_pooling, regions_boxes, regions_detector, regions_files
from vlkd_steps.teachers.targets import keyness, relevance


def literals(annotation: Any) -> set[str]:
    """The texts of a Literal, also within a union."""
    return {leaf for part in get_args(annotation) for leaf in ({part} if isinstance(part, str) else literals(part))}


@pytest.mark.parametrize(
    ("model", "key", "known"),
    [
        (TargetedSettings, "lambda_schedule", SCHEDULES),
        (TargetedSettings, "selection", relevance.SELECTIONS),
        (TargetedSettings, "relevance", relevance.RELEVANCE),
        (TargetedSettings, "keyness", keyness.KINDS),
        (TargetedSettings, "whitening", ["none", *WHITENINGS]),
        (dataset.Annotations, "rule", [*vcr_rules.RULES, *vcr_masking.KEEP, "given"]),
        (dataset.Pairs, "rule", [*hypothesis_only.RULES, "biased", "given"]),
        (teacher.TextEncoder, "pooling", text.POOLINGS),
        (teacher.Files, "format", region_files.FORMATS),
    ],
)
def test_choices(model: Any, key: str, known: Any) -> None:
    assert literals(model.model_fields[key].annotation) == set(known)


def test_names() -> None:
    assert set(get_args(Distance)) == set(DISTANCES)
    assert set(get_args(Target)) == set(MAD.terms_of)
    assert set(get_args(dataset.Leaks)) == set(leakage.STOPPING)


def test_features_are_stored_in_any_dtype_that_a_teacher_may_name(tmp_path: Path) -> None:
    for dtype in get_args(teacher.Dtype):
        assert Writer(tmp_path, {}, dtype).converted("image", np.zeros((1, 2), np.float32)).dtype == dtype


def test_defaults_of_extractors_are_the_codes() -> None:
    pooling = {"shorter_side": region_pooling.SHORTER_SIDE}
    files = {"min_regions": regions_files.MINIMUM, "max_regions": regions_files.MAXIMUM}
    found = {"min_regions": regions_detector.MINIMUM, "max_regions": regions_detector.MAXIMUM}
    for model, defaults in (
        (teacher.Boxes, {"grid": regions_boxes.GRID, "max_regions": regions_boxes.MAXIMUM, **pooling}),
        (teacher.Files, {"confidence": regions_files.CONFIDENCE, **files}),
        (
            teacher.Detector,
            {"confidence": regions_detector.CONFIDENCE, "overlap": regions_detector.OVERLAP, **found},
        ),
    ):
        assert {name: model.model_fields[name].default for name in defaults} == defaults


def test_the_scenes_source_has_the_generators_keys_and_defaults() -> None:
    fields = {name: field.default for name, field in source.Scenes.model_fields.items()}
    own = {name: default for name, default in fields.items() if name not in ("name", "kind", "about_gb", "seed")}
    assert {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()} == write.DEFAULTS


def test_a_part_of_a_recipe_has_the_keys_of_a_whole_one() -> None:
    for name, field in Recipe.model_fields.items():
        assert PartialRecipe.model_fields[name].annotation == field.annotation
        assert PartialRecipe.model_fields[name].metadata == field.metadata
    assert set(PartialRecipe.model_fields) == set(Recipe.model_fields)


def test_composing_imports_no_torch() -> None:
    program = (
        "import sys; from vlkd_steps.config import composition; composition.compose()\n"
        "print(sorted({'torch', 'transformers', 'polars', 'snakemake'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
