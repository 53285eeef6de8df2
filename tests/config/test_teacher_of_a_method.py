"""Which teachers a method takes is checked before any job."""

import pytest
from user_files import PRESET, Project, holds


@pytest.mark.parametrize(
    ("variant", "facts"),
    [
        (
            "{method: logit_kd, teacher: minilm_l6}",
            ["variants.mine.teacher is 'minilm_l6', which reads no images", "method logit_kd needs both; name a CLIP"],
        ),
        (
            "{method: clip_td, teacher: efficientnet_lite0_scenes}",
            ["variants.mine.teacher is 'efficientnet_lite0_scenes', which reads no texts"],
        ),
        (
            "{method: clip_td, teacher: {vision: efficientnet_lite0_scenes, text: minilm_l6}}",
            ["variants.mine.teacher names two teachers", "requires one CLIP"],
        ),
        (
            "{method: clip_probe, teacher: clip_scenes_patches, training: {learning_rate: 1.0e-3}}",
            ["variants.mine.training is set, but method clip_probe trains no student; delete it"],
        ),
    ],
)
def test_what_it_cannot_take_is_named(project: Project, variant: str, facts: list[str]) -> None:
    project.conf("experiment/mine.yaml", PRESET + f"  variant: [finetune, mine]\nvariants: {{mine: {variant}}}\n")
    project.params(experiment="mine", grid={})
    holds(project.message(), *facts)
