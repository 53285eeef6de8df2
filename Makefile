# Two commands: `make demo` (results on this machine) and `make test`. `make ui` opens MLflow.
PYTHON ?= python3
EXPERIMENT ?=
VENV := .venv
# One test worker more than cores, since the tests of tests/slurm mostly wait. Files run in the order of tests/conftest.py.
TEST := python -m pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadfile --no-loadscope-reorder
# Runs this project's programs in a controlled environment (vlkd_steps/core/environment.py does the rest). It works with
# any folder name, and make's signals reach the program directly.
RUN := exec env PATH="$$PWD/$(VENV)/bin:$$PATH" PYTHONPATH="$$PWD" PYTHONSAFEPATH=

.PHONY: demo test test-all test-fast ui install check docs clean-venv

demo: install  ## run the whole graph, print the results table (EXPERIMENT=name: another preset)
	@$(RUN) python -m vlkd_steps run $(EXPERIMENT) --profile profiles/local

ui: install    ## bring MLflow up to date with the runs' journals and open it on 127.0.0.1
	@$(RUN) python -m vlkd_steps ui

test: install $(VENV)/test.lock     ## the test suite
	@$(RUN) $(TEST) -m "not exhaustive"

test-all: install $(VENV)/test.lock ## with the tests marked exhaustive
	@$(RUN) $(TEST)

test-fast: install $(VENV)/test.lock  ## without the tests marked slow
	@$(RUN) $(TEST) -m "not slow and not exhaustive"

check: install $(VENV)/test.lock    ## style, types, the workflow, the layers
	@$(RUN) sh -ec 'ruff check . && ruff format --check . && mypy vlkd_steps && snakefmt --check Snakefile workflow && snakemake --lint && python -m pytest -q tests/test_layers.py'

install: $(VENV)/bin/vlkd

# Installs this package as editable: the environment has the command `vlkd`, which runs the code of this folder.
$(VENV)/bin/vlkd: pyproject.toml $(VENV)/requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# A copy of the lock file inside the environment records what is installed there.
$(VENV)/requirements.lock: requirements.lock
	@scripts/install $(VENV) $(PYTHON) requirements.lock

$(VENV)/test.lock: requirements-test.lock $(VENV)/requirements.lock
	@scripts/install $(VENV) $(PYTHON) requirements-test.lock
	@mv $(VENV)/requirements-test.lock $(VENV)/test.lock

docs: .venv-docs/requirements-docs.txt  ## the documentation as a site, in site/
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

.venv-docs/requirements-docs.txt: requirements-docs.txt
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-docs.txt
	@cp requirements-docs.txt .venv-docs/
