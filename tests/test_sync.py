from vlkd_steps import sync


def test_phases_before_the_first_dirty_one_are_clean() -> None:
    assert sync.clean_phases({}) == (list(sync.PHASES), None)
    status = {"features_bytes@clip_scenes-scenes_vqa": [{"changed outs": {"features/a": "deleted"}}]}
    assert sync.clean_phases(status) == (["download", "prepare", "split", "pretrain"], "extract")


def test_missing_bytes_are_to_be_pulled() -> None:
    status = {"raw_bytes@scenes": [{"changed outs": {"data/raw/scenes": "deleted"}}]}
    assert "data/raw/scenes (deleted); run: dvc pull" in sync.explain(status, "download")


def test_bytes_of_another_commit_are_to_be_checked_out() -> None:
    status = {"splits_bytes@scenes_vqa": [{"changed outs": {"data/splits/scenes_vqa": "modified"}}]}
    assert "data/splits/scenes_vqa (modified); run: dvc checkout" in sync.explain(status, "split")


def test_changed_parameters_and_code_are_to_be_run() -> None:
    status = {
        "download": [{"changed deps": {"vlkd_steps": "modified", "params.yaml": {"overrides": "modified"}}}],
    }
    message = sync.explain(status, "download")
    assert "params.yaml: overrides (modified), vlkd_steps (modified)" in message
    assert "run: snakemake --cores all" in message
