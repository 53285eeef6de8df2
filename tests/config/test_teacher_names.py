import pytest

from vlkd_steps.config import teacher_names
from vlkd_steps.core.errors import UserError


def test_one_two_or_no_teacher() -> None:
    for teacher, joined in ((None, None), ("clip", "clip"), ({"vision": "a", "text": "b"}, "a+b")):
        assert teacher_names.joined(teacher) == joined
        assert teacher_names.split(joined) == teacher_names.names(teacher)
    assert teacher_names.joined({"vision": "clip", "text": "clip"}) == "clip"


@pytest.mark.parametrize(
    "wrong", [{"vision": "a"}, {"vision": "a", "text": None}, {"image": "a", "text": "b"}, ["a"], 3]
)
def test_what_names_no_teacher(wrong: object) -> None:
    with pytest.raises(
        UserError, match=r"variants\.mad\.teacher is .*; write one name, or \{vision: NAME, text: NAME\}"
    ):
        teacher_names.check(wrong, "variants.mad.teacher")
