import pytest
import slurm_texts

from vlkd_steps.checks import cluster


def test_partitions_and_their_nodes_are_read() -> None:
    known = cluster.partitions(slurm_texts.PARTITIONS, slurm_texts.SINFO)
    assert list(known) == ["normal", "gpu", "closed"]
    assert cluster.default(known) == "normal"
    normal, gpu, closed = known.values()
    assert (normal.minutes, normal.limit("MaxNodes"), normal.allowed("AllowAccounts")) == (None, None, None)
    assert (gpu.minutes, gpu.limit("MaxNodes"), gpu.limit("MaxMemPerNode")) == (2880, 2, 400000)
    assert gpu.settings["State"] == "UP"
    assert (closed.minutes, closed.settings["State"]) == (30, "DOWN")
    assert closed.allowed("AllowAccounts") == {"physics", "chem"}
    assert closed.allowed("AllowQos") == {"long"}
    assert normal.nodes == "1 x 4 CPUs, 24105 MB, GPUs none, features none, idle"
    assert [group.split()[0] for group in gpu.nodes.split("; ")] == ["2", "1", "1"]


def test_many_kinds_of_nodes_are_counted() -> None:
    sinfo = "".join(f"gpu|1 x {n} CPUs\n" for n in range(9))
    assert cluster.partitions(slurm_texts.PARTITIONS, sinfo)["gpu"].nodes.endswith("1 x 3 CPUs; and 5 more kinds")


def test_no_default_partition() -> None:
    assert cluster.default({}) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UNLIMITED", None), ("infinite", None), ("30:00", 30), ("01:30:00", 90), ("2-00:00:00", 2880),
        ("1-12:30:00", 2190),
    ],
)  # fmt: skip
def test_times(text: str, expected: int | None) -> None:
    assert cluster.minutes(text) == expected


def test_settings_and_accounts_are_read() -> None:
    assert cluster.configuration(slurm_texts.CONFIGURATION)["MaxArraySize"] == "1001"
    assert cluster.accounts(slurm_texts.ACCOUNTS) == {"physics": {"normal", "long"}, "astro": {"short"}}
