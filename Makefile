# Two commands do everything, installation into .venv included: make quickstart, make test
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python

.PHONY: quickstart test bench sweep check site stress clean
quickstart: $(VENV)/.installed ## install, then train, blend and submit on scikit-learn's digits
	$(VENV)/bin/ens quickstart

test: $(VENV)/.installed-dev ## the test suite: no network, no GPU
	$(PY) -m pytest -n logical --maxprocesses 4 --dist loadfile

stress: $(VENV)/.installed-dev ## sixty kills at random moments
	ENS_KILLS=60 $(PY) -m pytest tests/test_kills.py -s

HYMENOPTERA ?= hymenoptera_data
CIFAR10 ?= cifar10

bench: $(VENV)/.installed-dev ## speed beside fastai and plain PyTorch: make bench HYMENOPTERA=folder CIFAR10=folder, two hours
	$(PY) bench/speed.py $(HYMENOPTERA) --epochs 10 5 --count-once --sides ours fastai:2 timm:2
	$(PY) bench/speed.py $(HYMENOPTERA) --epochs 10 5 --count-once --augment none --sides ours fastai:2 fastai+:2
	$(PY) bench/speed.py $(HYMENOPTERA) --epochs 10 5 --sides ours fastai+:2
	$(PY) bench/speed.py $(CIFAR10) --valid test --arch resnet34 --size 32 --batch 64 --epochs 2 --images 2000 \
	  --augment flip --sides ours fastai:0 fastai:2 fastai:4 timm:2

sweep: $(VENV)/.installed-dev ## a small network of every timm family learns four colors, or is refused: an hour or two
	$(PY) bench/sweep.py

check: $(VENV)/.installed-dev ## format, lint, types
	$(PY) -m ruff format --check ensemble tests bench docs setup.py
	$(PY) -m ruff check ensemble tests bench docs setup.py
	$(PY) -m mypy
	$(PY) -m mypy --platform win32

site: $(VENV)/.installed-dev ## the documents as a site, readable without a network: site/index.html
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict

# pip writes some 600 lines: they go to a file, and are shown where it fails.
INSTALL = $(PY) -m pip install $$(test -e $(VENV)/.made-here && echo "-c constraints.txt") -e '$(1)' \
  >$(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log; exit 1; }

# An environment made here gets the tried versions; one that was there keeps its own where they are new enough.
$(VENV)/.installed: pyproject.toml constraints.txt | $(PY)
	@echo "Installing into $(VENV): torch with its CUDA libraries takes about 8 GB of disk and some minutes"
	@$(call INSTALL,.)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing into $(VENV): pytest, ruff, mypy and what the extras name"
	@$(call INSTALL,.[dev])
	@touch $@

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing. Debian, Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "Making the environment $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $(VENV)/.made-here

clean: ## remove derived files, never runs or submissions
	rm -rf site .ens_cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
