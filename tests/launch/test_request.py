"""What the profile's resources become in a script for sbatch."""

from pathlib import Path

import pytest
from submitit import SlurmExecutor

from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.slurm.request import Request


@pytest.mark.parametrize(("extra", "keys"), [("", []), ("--wckey=ours", ["#SBATCH --wckey=ours"])])
def test_only_the_user_names_a_key_of_the_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str, keys: list[str]
) -> None:
    monkeypatch.setattr(SlurmExecutor, "affinity", classmethod(lambda cls: 1))
    executor = SlurmExecutor(tmp_path)
    executor.update_parameters(**Request(slurm_extra=extra).parameters())
    text = executor._make_submission_file_text("true", "")
    assert [line for line in text.splitlines() if "wckey" in line] == keys


@pytest.mark.parametrize("text", ["²", "1" * 5000, "-1", "1.5", "two"])
def test_a_number_of_other_digits_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"the resource workers is .*; write a whole number of at least 1"):
        Request.of({"VLKD_WORKERS": text})
