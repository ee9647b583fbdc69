# Two commands on a fresh machine: `make demo` and `make test`. Everything lives in .venv.
# CPU-only users who do not want torch's CUDA build: make demo TORCH_FROM="--index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
TORCH_FROM ?=
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n 2 --dist loadfile

.PHONY: demo test test-long lint clean
demo: $(READY)
	$(RUN)/python demo/run.py demo-output

test: $(READY) lint
	$(PYTEST) -m "not long"

test-long: $(READY)
	$(PYTEST) -m long

lint: $(READY)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed (make PYTHON=...)"; exit 1; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	$(RUN)/python -m pip install --quiet $(TORCH_FROM) -c constraints.txt torch
	$(RUN)/python -m pip install --quiet -c constraints.txt -e '.[train,dev]'
	@touch $@

clean:
	rm -rf $(VENV) demo-output build dist *.egg-info
