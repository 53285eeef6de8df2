from vlkd_steps.config import teacher_names
from vlkd_steps.config.models.preset import Variant


def test_one_two_or_no_teacher() -> None:
    for teacher, joined in (
        (None, None), ("clip", "clip"), ({"vision": "a", "text": "b"}, "a+b"), ({"vision": "a", "text": "a"}, "a")
    ):  # fmt: skip
        found = Variant.model_validate({"method": "mad", "teacher": teacher}).teachers
        assert teacher_names.joined(found) == joined
        assert teacher_names.split(joined) == found
