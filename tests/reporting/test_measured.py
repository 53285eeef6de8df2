from pathlib import Path

from vlkd_steps.reporting import measured

DATASET = {
    "name": "toy_captions",
    "task": "captioning",
    "evaluation_sets": [],
    "extra_evals": {"retrieval": {"measure": "retrieval"}},
}


def test_a_measure_has_a_column_for_each_of_its_numbers_and_means_over_seeds(tmp_path: Path) -> None:
    rows = ["dataset,student,variant,shot,seed,evaluation_set,metric,value"]
    for seed, more in ((1, 0.0), (2, 1.0)):
        for metric, value in (("R@1", 20), ("R@10", 90), ("R@5", 60)):
            rows.append(f"toy_captions,toy,vlkd,full,{seed},retrieval,{metric},{value + more}")
    summary = tmp_path / "summary.csv"
    summary.write_text("\n".join([*rows, "toy_captions,toy,vlkd,full,1,test,CIDEr,50"]) + "\n")
    [table] = measured.tables(summary, [DATASET])
    assert (table["dataset"], table["title"]) == ("toy_captions", "retrieval")
    assert table["columns"] == ["R@1", "R@5", "R@10"]
    assert table["rows"] == [("vlkd", "", ["20.5", "60.5", "90.5"])]
    assert measured.tables(summary, []) == []


def test_rows_of_several_students_and_shots_are_means_over_seeds_only_and_named_by_them(tmp_path: Path) -> None:
    asked = {"dataset": "toy_vqa", "task": "vqa", "set": "dev"}
    extra_evals = {"plain": {**asked, "prompt": "{question}"}, "polite": {**asked, "prompt": "{question} Please."}}
    both = {**DATASET, "extra_evals": {**DATASET["extra_evals"], **extra_evals}}
    rows = ["dataset,student,variant,shot,seed,evaluation_set,metric,value"]
    for student, shot, value in (("small", "100", 10), ("small", "full", 20), ("large", "full", 40)):
        for seed in (1, 2):
            of = f"toy_captions,{student},vlkd,{shot},{seed}"
            rows.append(f"{of},retrieval,R@1,{value + seed}")
            rows += [f"{of},plain,accuracy,{value + seed}", f"{of},polite,accuracy,{value + seed + 2}"]
    summary = tmp_path / "summary.csv"
    summary.write_text("\n".join(rows) + "\n")
    retrieval, wordings = measured.tables(summary, [both])
    assert retrieval["rows"] == [
        ("vlkd", "small, shot 100", ["11.5"]),
        ("vlkd", "small, shot full", ["21.5"]),
        ("vlkd", "large, shot full", ["41.5"]),
    ]
    assert wordings["rows"][0] == ("vlkd", "small, shot 100", ["11.5", "13.5", "12.5", "1.4"])
    assert [of for _, of, _ in wordings["rows"]] == ["small, shot 100", "small, shot full", "large, shot full"]
