# Two commands on a fresh machine: `make demo` and `make test`. See README.md.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One torch for all, so that the torchvision that timm brings fits it. PIP_EXTRA_INDEX_URL and
# the other PIP_* variables of pip choose where wheels come from.
TORCH ?= torch==2.13.0
STAMP := $(VENV)/.installed
OUT ?= out/demo
# A worker waits for nodes as often as it computes.
WORKERS ?= $(shell echo $$(($$(nproc) * 3 / 2)))
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --max-worker-restart 0

.PHONY: demo test test-all lint install clean

demo: $(STAMP)
	@$(BIN)/python -m depth_anything_ros demo --output "$(OUT)" \
	  $(if $(IMAGE),--image "$(IMAGE)") $(if $(MODEL),--model "$(MODEL)") \
	  $(if $(WEIGHTS),--weights "$(WEIGHTS)")

test: $(STAMP)
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(STAMP)
	$(PYTEST) $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check --config .ci/ruff.toml .
	$(BIN)/ruff format --config .ci/ruff.toml --check .
	$(BIN)/mypy

install: $(STAMP)

$(STAMP): setup.py pip_ros/setup.py Makefile
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null || \
	  { echo "depth_anything_ros needs Python 3.10-3.13: make PYTHON=python3.12 (found: $$($(PYTHON) --version 2>&1))" >&2; exit 1; }
	@[ "$$(uname -sm)" = "Linux x86_64" ] || \
	  { echo "ROS 2 from PyPI exists for Linux x86-64 only; here: $$(uname -sm). On a machine with ROS 2, use colcon (README)." >&2; exit 1; }
	@[ -z "$$ROS_DISTRO" ] || \
	  { echo "A ROS 2 environment ($$ROS_DISTRO) is sourced here: use colcon (README), or unset it by a new shell." >&2; exit 1; }
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
	  { echo "cannot make $(VENV): install Python's venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -m pip install --use-pep517 --progress-bar on "$(TORCH)" -e ./pip_ros -e ".[demo,test]" || \
	  { echo "pip could not install: see its last lines above (network? disk? PIP_* settings?)" >&2; exit 1; }
	@$(BIN)/python -m pip install --no-deps depth-anything-3==0.1.1 || \
	  echo "without depth-anything-3, the tests that compare with it are skipped" >&2
	@touch $@

clean:
	rm -rf $(VENV) .venv-* build install log out *.egg-info
