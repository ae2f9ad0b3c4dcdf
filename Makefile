# make demo | test | lint | bench | docs | screenshots | lock. PYTHON chooses the interpreter that .venv is made with, PORT the demo's port.
PYTHON ?= python3
VENV := .venv
VENV_JH5 := .venv-jh5
VENV_IMAGE := .venv-image
IMAGES := helm/images
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint bench docs screenshots lock clean
.DELETE_ON_ERROR:

# exec: make's shell is gone, so that Ctrl-C and kill reach the demo itself.
demo: $(VENV)/.demo
	@exec $(BIN)/gpuspawner demo

# Two files at a time: most tests wait for servers, not for a core.
BESIDE = --numprocesses 2 --dist loadfile

# The whole suite on the newest JupyterHub, then what touches the hub once more on the last 5.x.
test: $(VENV)/.test $(VENV_JH5)/.test $(VENV_IMAGE)/.locked
	@sh tools/need.sh apache2 chromium configurable-http-proxy kubectl postgresql prometheus shibd slapd xmlsec1
	$(BIN)/pytest $(BESIDE)
	$(VENV_JH5)/bin/pytest $(BESIDE) tests/hub tests/logins

# The checks themselves are in .pre-commit-config.yaml: a commit runs what CI runs.
lint: $(VENV)/.test
	$(BIN)/pre-commit run --all-files --show-diff-on-failure

# QUICK=1 takes under 3 minutes instead of 25; WRITE=1 renews docs/benchmarks.md. How long people wait in the demo: last.
bench: $(VENV)/.test
	@sh tools/need.sh postgresql
	PYTHONPATH=tests/ledger $(BIN)/python tests/benchmarks/bench.py $(if $(QUICK),--quick) $(if $(WRITE),--write)
	$(if $(QUICK),,PYTHONPATH=tests/demo $(BIN)/python tests/benchmarks/waiting_times.py)

screenshots: $(VENV)/.test
	@sh tools/need.sh chromium
	$(BIN)/python tools/screenshots.py

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

# The newest packages that fit, for the images: on every Python that gpuspawner runs on, and on every kind of Linux.
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --upgrade --fork-strategy fewest \
	--custom-compile-command 'make lock'
lock: $(VENV)/.lock
	$(LOCK) --python-version 3.11 --output-file $(IMAGES)/build-requirements.txt $(IMAGES)/build-requirements.in
	$(LOCK) --python-version 3.11 --output-file $(IMAGES)/hub/requirements.txt $(IMAGES)/hub/requirements.in \
		pyproject.toml --extra postgresql
	$(LOCK) --python-version 3.13 --output-file $(IMAGES)/singleuser/requirements.txt $(IMAGES)/singleuser/requirements.in

clean:
	rm -rf $(VENV) $(VENV_JH5) $(VENV_IMAGE) build site .mypy_cache .pytest_cache .ruff_cache

# A stamp is written once its installation succeeded; pyproject.toml makes it anew.
$(VENV)/.demo $(VENV)/.docs $(VENV)/.lock $(VENV)/.test: $(VENV)/.%: pyproject.toml | $(VENV)/.made
	@echo "Installing gpuspawner[$*] into $(VENV); the first time this takes a minute or two."
	$(BIN)/python -m pip install --editable '.[$*]'
	@touch $@ $(if $(filter test,$*),$(VENV)/.demo)

$(VENV_JH5)/.test: pyproject.toml | $(VENV_JH5)/.made
	@echo "Installing gpuspawner[test] with JupyterHub 5 into $(VENV_JH5)."
	$(VENV_JH5)/bin/python -m pip install --editable '.[test]' 'jupyterhub>=5.5,<6'
	@touch $@

# The Python packages of the hub's image, exactly, as its Dockerfile installs them.
$(VENV_IMAGE)/.locked: $(IMAGES)/build-requirements.txt $(IMAGES)/hub/requirements.txt | $(VENV_IMAGE)/.made
	@echo "Installing the packages of the hub's image into $(VENV_IMAGE)."
	for lock in $^; do \
		$(VENV_IMAGE)/bin/python -m pip install --quiet --require-hashes --no-build-isolation --requirement $$lock || exit 1; \
	done
	@touch $@

$(VENV)/.made $(VENV_JH5)/.made $(VENV_IMAGE)/.made:
	@sh tools/make-venv.sh "$(PYTHON)" $(@D)
	@touch $@
