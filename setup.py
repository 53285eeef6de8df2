"""What pyproject.toml cannot say: a wheel carries copies of the project's files (vlkd_steps/core/project_files.py)."""

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
NAMES: tuple[str, ...] = runpy.run_path(str(ROOT / "vlkd_steps/core/project_files.py"))["NAMES"]


class WithProjectFiles(build_py):
    """An editable install needs no copies: the package finds the files in the clone."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "vlkd_steps" / "project"
        shutil.rmtree(target, ignore_errors=True)
        for name in NAMES:
            source = ROOT / name
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target / name)


setup(cmdclass={"build_py": WithProjectFiles})
