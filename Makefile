# Two commands do everything on a fresh machine with Python >= 3.11: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Spinning OpenMP threads make a small machine 2-20 times slower; two threads are what the numbers were made with.
export OMP_WAIT_POLICY := PASSIVE
export OMP_NUM_THREADS ?= 2
export SCIPY_ARRAY_API := 1
export MPLBACKEND := Agg

.PHONY: demo test docs install lint benchmark benchmark-impressions benchmark-epoch benchmark-overhead clean

install: $(VENV)/.installed

# torch goes first: packages that need it would otherwise pull its newest build with several GB of CUDA.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[data,plot,dev]"
	touch $@

demo: install
	$(BIN)/python examples/demo.py

# Two workers with one thread each.
test: export OMP_NUM_THREADS = 1
test: install
	$(BIN)/python -m pytest -n 2 --dist loadscope

# The site, in docs/_build/html: a minute or two, most of it the gallery. Nothing is fetched while it is built.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -b html docs docs/_build/html

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[data,plot,docs]"
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# On an idle machine: most of an hour in all. benchmark-epoch needs the peers' environments (6 GB):
# `python benchmarks/make_envs.py`.
benchmark: benchmark-overhead benchmark-epoch benchmark-impressions

benchmark-impressions: install
	$(BIN)/python benchmarks/impressions.py
	$(BIN)/python benchmarks/impressions.py --label converted_any_store \
		--settings-of benchmarks/results/impressions_converted.json
	$(BIN)/python benchmarks/report.py

benchmark-epoch: install
	$(BIN)/python benchmarks/fm_epoch.py
	$(BIN)/python benchmarks/report.py

benchmark-overhead: install
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/report.py

clean:
	rm -rf $(VENV) demo_output .pytest_cache .hypothesis docs/_build docs/gallery docs/reference
