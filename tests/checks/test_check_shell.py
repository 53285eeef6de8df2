from vlkd_steps.checks import shell


def test_each_variable_that_is_not_used_is_a_line_without_its_value() -> None:
    found = shell.check(["MLFLOW_RUN_ID", "PYTHONPATH", "SBATCH_ACCOUNT", "SBATCH_JOB_NAME", "SQUEUE_SORT"])
    assert {each.level for each in found} == {"warn"}
    lines = {each.found.split()[0]: each.remedy for each in found}
    assert lines["SBATCH_ACCOUNT"] == "set slurm_account in the profile"
    assert "profile" not in lines["SBATCH_JOB_NAME"]
    assert "install" in lines["PYTHONPATH"]
    assert lines["SQUEUE_SORT"] == ""


def test_nothing_to_say() -> None:
    assert [each.level for each in shell.check([])] == ["ok"]
