# Two commands do everything on a fresh machine with Python >= 3.11: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Spinning OpenMP threads make a small machine 2-20 times slower; two threads are what the numbers were made with.
export OMP_WAIT_POLICY := PASSIVE
export OMP_NUM_THREADS ?= 2
export SCIPY_ARRAY_API := 1
export MPLBACKEND := Agg

.PHONY: demo test install lint benchmark clean

install: $(VENV)/.installed

# torch goes first: packages that need it would otherwise pull its newest build with several GB of CUDA.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[data,plot,dev]"
	touch $@

demo: install
	$(BIN)/python examples/demo.py

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo_output .pytest_cache .hypothesis
