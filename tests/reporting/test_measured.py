from pathlib import Path

from vlkd_steps.reporting import measured

DATASET = {
    "name": "toy_captions",
    "task": "captioning",
    "evaluation_sets": [],
    "extra_evals": {"retrieval": {"measure": "retrieval"}},
}


def test_a_measure_has_a_column_for_each_of_its_numbers_and_means_over_seeds(tmp_path: Path) -> None:
    rows = ["dataset,variant,shot,seed,evaluation_set,metric,value"]
    for seed, more in ((1, 0.0), (2, 1.0)):
        for metric, value in (("R@1", 20), ("R@10", 90), ("R@5", 60)):
            rows.append(f"toy_captions,vlkd,full,{seed},retrieval,{metric},{value + more}")
    summary = tmp_path / "summary.csv"
    summary.write_text("\n".join([*rows, "toy_captions,vlkd,full,1,test,CIDEr,50"]) + "\n")
    [table] = measured.tables(summary, [DATASET])
    assert (table["dataset"], table["title"]) == ("toy_captions", "retrieval")
    assert table["columns"] == ["R@1", "R@5", "R@10"]
    assert table["rows"] == [("vlkd", ["20.5", "60.5", "90.5"])]
    assert measured.tables(summary, []) == []
