from vlkd_steps.core import markdown


def test_a_bar_or_a_line_break_does_not_end_a_cell() -> None:
    lines = markdown.table(["shot", "clip_td[by=a|b]"], [["100", "one\n two"], ["", "x"]], align="---:")
    assert lines == ["| shot | clip_td[by=a&#124;b] |", "| --- | ---: |", "| 100 | one two |", "|  | x |"]
