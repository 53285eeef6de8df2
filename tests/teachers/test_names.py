import pytest

from vlkd_steps.errors import UserError
from vlkd_steps.teachers import names


def test_one_two_or_no_teacher() -> None:
    for teacher, joined in ((None, None), ("clip", "clip"), ({"vision": "a", "text": "b"}, "a+b")):
        assert names.joined(teacher) == joined
        assert names.split(joined) == names.names(teacher)
    assert names.joined({"vision": "clip", "text": "clip"}) == "clip"


@pytest.mark.parametrize(
    "wrong", [{"vision": "a"}, {"vision": "a", "text": None}, {"image": "a", "text": "b"}, ["a"], 3]
)
def test_what_names_no_teacher(wrong: object) -> None:
    with pytest.raises(
        UserError, match=r"variants\.mad\.teacher is .*; write one name, or \{vision: NAME, text: NAME\}"
    ):
        names.check(wrong, "variants.mad.teacher")
