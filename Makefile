# The lab in two commands: `make lab` opens it, `make test` checks it. `make help` lists the rest.
# Each makes the environment first where it is missing or out of date; nothing but Python, git and make is needed.

VENV ?= .venv
ARGS ?=
# The first of these that is Python 3.11 to 3.13 makes the environment; PYTHON=... says which one instead.
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
CPU_INDEX := https://download.pytorch.org/whl/cpu

BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOUR := $(firstword $(wildcard notebooks/00-*.ipynb))

# A kernel that the user once registered elsewhere must not run the lab's notebooks.
export JUPYTER_PREFER_ENV_PATH := 1

.DEFAULT_GOAL := help
.PHONY: help lab test figures format lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo '  ARGS="..." is passed on: make lab ARGS="--no-browser --port 8899", make test ARGS="-k codec"'

# Bound to this machine only, which is also what makes it safe to run as root in a container.
lab: $(READY) ## open JupyterLab on the tour
	$(BIN)/python -m jupyterlab --ServerApp.ip=localhost --ServerApp.root_dir="$(CURDIR)" \
		--LabApp.default_url=/lab/tree/$(TOUR) $$([ "$$(id -u)" = 0 ] && echo --allow-root) $(ARGS)

test: export HF_HUB_OFFLINE := 1
test: export TOKENIZERS_PARALLELISM := false
test: export OMP_NUM_THREADS := 1
test: $(READY) ## check the style, run the unit tests, execute every lesson
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# Two at a time, then, one by one, what measures time or drives a browser. All on one thread: where others use
	@# the processors, too, two threads that wait for each other at every turn take many times as long as one.
	@# pytest exits with 5 where it finds no test, as when ARGS="-k codec" leaves none of a kind, and with 2 if
	@# one interrupts it.
	$(BIN)/python -m pytest -m 'not alone' -n 2 --dist loadgroup --no-loadscope-reorder $(ARGS); together=$$?; \
	[ $$together != 2 ] || exit 2; \
	$(BIN)/python -m pytest -m alone $(ARGS); alone=$$?; \
	case "$$together $$alone" in '0 0' | '0 5' | '5 0') ;; *) exit 1 ;; esac

figures: $(READY) ## execute the lessons, write figures/ and the README's table of findings
	status=0; $(BIN)/python -m labkit.notebooks run $(ARGS) || status=$$?; \
	$(BIN)/python -m labkit.gallery figures README.md && exit $$status

format: $(READY) ## format the code and strip the notebooks of outputs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m labkit.notebooks strip $(wildcard notebooks/*.ipynb)

# One resolution for every Python the lab runs on. Versions stay as they are unless ARGS asks for others, such as
# ARGS="--upgrade" or ARGS="--upgrade-package torch". What torch needs of CUDA is left out: torch itself pins it
# to the digit, and builds for other CUDA versions or for none need other packages.
lock: $(READY) ## write constraints.txt from pyproject.toml
	$(BIN)/python -m venv build/lock
	build/lock/bin/python -m pip install --quiet uv
	build/lock/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--fork-strategy fewest --quiet --no-header --no-annotate --output-file constraints.txt $(ARGS)
	{ echo '# The versions the lab is tested with, on Python 3.11 to 3.13. Written by `make lock`.'; \
		grep -vE '^(cuda|nvidia|triton)' constraints.txt; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove the environment and everything else these commands can make again
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis figures/executed
	rm -f figures/*/*.html figures/*/plotly.min.js

$(READY): constraints.txt pyproject.toml
	@if ! $(BIN)/python -m pip --version > /dev/null 2>&1; then \
		for python in $(PYTHONS); do \
			if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2> /dev/null; then \
				found=$$python; break; \
			fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo 'The lab needs Python 3.11, 3.12 or 3.13; tried: $(PYTHONS).' >&2; \
			echo 'Install one, or say where it is: make lab PYTHON=/path/to/python3.12' >&2; \
			exit 1; \
		fi; \
		if ! $$found -c 'import ensurepip' 2> /dev/null; then \
			echo "$$found cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
			exit 1; \
		fi; \
		$$found -m venv $(VENV); \
	fi
	@if [ "$$(uname)" = Linux ] && [ -z "$$PIP_EXTRA_INDEX_URL" ] && ! command -v nvidia-smi > /dev/null; then \
		echo 'No NVIDIA GPU here: PIP_EXTRA_INDEX_URL=$(CPU_INDEX) make ... spares gigabytes of CUDA.'; \
	fi
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@# Its question about news would be the first thing to see, and asks the network for them.
	$(BIN)/python -m jupyterlab.labextensions disable --level=sys_prefix @jupyterlab/apputils-extension:announcements
	@touch $@
