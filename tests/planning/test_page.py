"""The last line of `vlkd plan`."""

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
