import pytest
import yaml

from vlkd_steps.core import run_yaml


def test_it_reads_what_yaml_writes_and_makes_no_objects() -> None:
    content = {"seed": 10, "shot": "100", "method": {"lambda0": 1.0e-3, "targets": ["image"]}, "nothing": None}
    assert run_yaml.parse(yaml.safe_dump(content)) == content
    for wrong in ("a: [", "!!python/object/apply:os.getcwd []"):
        with pytest.raises(yaml.YAMLError):
            run_yaml.parse(wrong)
