import pytest
import slurm_texts

from vlkd_steps.checks import cluster


def test_partitions_and_their_nodes_are_read() -> None:
    known = cluster.partitions(slurm_texts.PARTITIONS, slurm_texts.SINFO)
    assert list(known) == ["normal", "gpu", "closed"]
    normal, gpu, closed = known.values()
    assert (normal.default, normal.minutes, normal.max_nodes, normal.accounts) == (True, None, None, None)
    assert (gpu.minutes, gpu.max_nodes, gpu.max_mem_mb, gpu.state) == (2880, 2, 400000, "UP")
    assert (closed.minutes, closed.state) == (30, "DOWN")
    assert (closed.accounts, closed.qos) == ({"physics", "chem"}, {"long"})
    a100, down, v100 = gpu.nodes
    assert (a100.number, a100.cpus, a100.mem_mb, a100.gpus, a100.usable) == (2, 64, 512000, {"a100": 4}, True)
    assert a100.features == {"ib", "avx512"}
    assert not down.usable
    assert (v100.gpus, v100.features) == ({"v100": 2}, frozenset())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UNLIMITED", None), ("infinite", None), ("30:00", 30), ("01:30:00", 90), ("2-00:00:00", 2880),
        ("1-12:30:00", 2190),
    ],
)  # fmt: skip
def test_times(text: str, expected: int | None) -> None:
    assert cluster.minutes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(null)", {}), ("gpu:4", {"": 4}), ("gpu:a100:4(S:0-1)", {"a100": 4}), ("lustre:1,gpu:h100:8", {"h100": 8}),
        ("gpu:a100:2(S:0,2),gpu:v100:2(S:1)", {"a100": 2, "v100": 2}), ("gpu:1g.5gb:7", {"1g.5gb": 7}),
    ],
)  # fmt: skip
def test_generic_resources(text: str, expected: dict[str, int]) -> None:
    assert cluster.gres(text) == expected


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        ("idle", True), ("idle~", True), ("mixed-", True), ("allocated", True), ("planned", True), ("idle*", False),
        ("down", False), ("drained", False), ("draining", False), ("maint", False), ("unknown*", False),
    ],
)  # fmt: skip
def test_states_of_nodes(state: str, usable: bool) -> None:
    assert cluster.Nodes("a", 1, state, 1, 1, {}, frozenset()).usable is usable


def test_settings_and_accounts_are_read() -> None:
    assert cluster.configuration(slurm_texts.CONFIGURATION)["MaxArraySize"] == "1001"
    assert cluster.accounts(slurm_texts.ACCOUNTS) == {"physics": {"normal", "long"}, "astro": {"short"}}
