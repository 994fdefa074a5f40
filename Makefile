# Everything is installed into .venv, by uv where it is on the PATH and by pip where it is not.
# PYTHON= names the Python to make .venv from; PORT= is JupyterLab's.

PORT ?= 8888
UV := $(shell command -v uv 2>/dev/null)
BIN := .venv/bin

ifdef UV
VENV := $(BIN)/python
INSTALL := uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
ifdef PIP_FIND_LINKS
# pip separates the entries of a list with spaces, uv with commas.
space := $() $()
comma := ,
export UV_FIND_LINKS ?= $(subst $(space),$(comma),$(strip $(PIP_FIND_LINKS)))
endif
else
VENV := $(BIN)/pip
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
PYTHON ?= python3
endif

PYTHON_CODE := swin_tutorial tests notebooks
PROSE := README.md docs data/README.md
# The core: the modules that a reader reads in order, and their tests. `make check` looks at these.
CORE := axis windows grid masks reference position_bias attention config model presets modes \
	model_tensors weight_layouts weight_files weights backends/__init__ backends/eager backends/sdpa backends/flex
CORE_CODE := $(CORE:%=swin_tutorial/%.py)
CORE_TESTS := $(addprefix tests/test_,$(addsuffix .py,axis windows grid masks reference attention \
	model plain_modules project readme))
# One thread a worker: there are as many workers as cores.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest

.PHONY: help lab check style test train results test-gpu bench-gpu notebooks clean

help:  ## list these commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 18

lab: .venv/installed  ## install what is needed and open the notebooks in JupyterLab
	@$(BIN)/swin-tutorial lab --port $(PORT)

check: style  ## check style, spelling, types and the core's unit tests, in less than a minute
	@$(PYTEST) $(CORE_TESTS) -q -n auto --dist worksteal

style: .venv/installed-test
	@$(BIN)/ruff format --check $(PYTHON_CODE)
	@$(BIN)/ruff check $(PYTHON_CODE)
	@$(BIN)/codespell $(PROSE) $(PYTHON_CODE)
	@$(BIN)/ty check $(CORE_CODE)

test: style  ## run every check that CI runs: style, types, every test, every notebook
	@$(PYTEST) tests notebooks -m "not gpu" -rs -n auto --dist loadscope \
		--nbval --nbval-current-env --nbval-cell-timeout=300 \
		--nbval-sanitize-with tests/notebooks/sanitize.cfg

train: .venv/installed  ## train the small model, or resume its run: 5 minutes on 2 cores (ARGS= for options)
	@$(BIN)/swin-tutorial train quick --resume $(ARGS)

results: .venv/installed  ## make every recorded result that is missing and that this machine can make
	@$(BIN)/swin-tutorial experiments run all

test-gpu: .venv/installed-test  ## run the tests that need a GPU
	@$(BIN)/python -m pytest tests -m gpu -rs

bench-gpu: .venv/installed-test  ## time everything on a GPU, into data/results/bench_gpu_*.json
	@$(BIN)/python -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "There is no GPU here.")'
	$(BIN)/swin-tutorial bench attention --json data/results/bench_gpu_attention.json
	$(BIN)/swin-tutorial bench model --json data/results/bench_gpu_model.json

notebooks: .venv/installed-test  ## execute every notebook again and store it in its normal form
	@$(BIN)/python tests/notebooks/normalize.py

clean:  ## remove .venv, caches and build products; your runs and the data stay
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis mutants
	find . -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

$(VENV):
ifdef UV
	@# With no PYTHON=, uv finds one that suits pyproject.toml.
	uv venv --quiet --allow-existing $(if $(PYTHON),--python "$(PYTHON)") .venv
else
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Python 3.11 or newer is needed; name yours with: make PYTHON=python3.12 ...' >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
		echo 'This Python has no venv; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
endif

.venv/installed: pyproject.toml constraints.txt | $(VENV)
	@echo 'Installing into .venv; the first time takes some minutes, most of them for PyTorch.'
	$(INSTALL) --editable '.[notebooks,train]'
	@touch $@

# It builds on the installation above and only adds to it.
.venv/installed-test: .venv/installed
	$(INSTALL) --editable '.[test]'
	@touch $@
