"""What `vlkd plan` prints."""

from vlkd_steps.planning import page

NOTHING = {"gpu_hours": 0.0, "core_hours": 0.0, "cores": 2, "not_known": 0, "light_not_known": 0, "device": None}


def test_what_is_not_known_is_counted_beside_what_is() -> None:
    assert page._total(NOTHING) == "nothing"
    unknown = page._total(NOTHING | {"not_known": 1, "light_not_known": 3})
    assert unknown.startswith("trainings and extractions of unknown length: 1 (name a device")
    assert unknown.endswith("; light jobs that have never run here: 3")
    assert (
        page._total(NOTHING | {"core_hours": 1.0})
        == "1 core-hours (about 30 minutes with 2 jobs at once, on idle cores)"
    )


def test_a_swept_value_is_in_the_table() -> None:
    row = {"step": "distill", "what": "pets vilt clip_td[lambda0=3]", "count": 2, "hours": None, "gpu": False}
    plan = {
        "experiment": "a",
        "runs": {"to_train": 2, "of_the_experiment": 2},
        "jobs": {"distill": 1},
        "totals": NOTHING,
    }
    plan |= {"sources": [], "put_in_place": [], "weights": [], "disk": [], "disk_free_gb": 1.0}
    plan |= {"cost": [row | {"operations": 1e9, "from": "not known"}]}
    assert "pets vilt clip_td[lambda0=3] |" in page.page(plan)
