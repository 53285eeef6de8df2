from dataclasses import replace

from vlkd_steps.evaluation.verdicts import RowTest, verdicts


def words(*tests: RowTest) -> list[str]:
    return [word for word, _ in verdicts(tests)]


def test_primary_rows_are_corrected_by_holm_over_all_that_were_declared() -> None:
    tests = [RowTest(True, 0.012, 0.012), RowTest(True, 0.03, 0.03), RowTest(True, None), RowTest(True, None)]
    assert words(*tests) == ["held", "nominal", "not decided", "not decided"]
    assert [p for _, p in verdicts(tests)][:2] == [4 * 0.012, 3 * 0.03]


def test_rows_without_a_verdict_do_not_help_to_contradict_others() -> None:
    against = RowTest(True, 0.98, 0.03, towards=False)
    without = RowTest(True, None, 0.001, towards=False)  # too few seeds
    assert words(against, without) == ["not decided", "not decided"]
    secondary = [replace(each, primary=False) for each in (against, without)]
    assert words(*secondary, RowTest(False, 0.9, 0.9)) == ["not decided"] * 3


def test_secondary_rows_are_corrected_by_benjamini_and_hochberg_apart_from_primary_ones() -> None:
    tests = [
        RowTest(False, 0.01, 0.01),
        RowTest(False, 0.03, 0.03),
        RowTest(False, 0.2, 0.2),
        RowTest(True, 0.03, 0.03),
    ]
    assert words(*tests) == ["supported", "supported", "not decided", "held"]
    assert words(*tests[1:3], RowTest(False, 0.5, 0.5)) == ["nominal", "not decided", "not decided"]


def test_a_result_on_the_other_side_contradicts_or_decides_nothing() -> None:
    assert words(RowTest(True, 0.001, 0.001, towards=False)) == ["contradicted"]
    assert words(RowTest(False, 0.4, 0.4, towards=False)) == ["not decided"]
    assert words(RowTest(True, 0.999, 0.001, towards=False)) == ["contradicted"]  # one-sided, beyond the margin
    assert words(RowTest(True, 0.9, 0.1, towards=False)) == ["not decided"]
    assert words(RowTest(False, 0.03, 0.03, towards=False), RowTest(False, 0.9, 0.9)) == ["not decided", "not decided"]
