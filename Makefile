# make demo | test | lint | bench | docs | screenshots. PYTHON chooses the interpreter that .venv is made with, PORT the demo's port.
PYTHON ?= python3
VENV := .venv
VENV_JH5 := .venv-jh5
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint bench docs screenshots clean
.DELETE_ON_ERROR:

# exec: make's shell is gone, so that Ctrl-C and kill reach the demo itself.
demo: $(VENV)/.demo
	@exec $(BIN)/gpuspawner demo

# Two files at a time: most tests wait for servers, not for a core.
BESIDE = --numprocesses 2 --dist loadfile

# The whole suite on the newest JupyterHub, then what touches the hub once more on the last 5.x.
test: $(VENV)/.test $(VENV_JH5)/.test
	@sh tools/need.sh apache2 chromium kubectl postgresql prometheus shibd slapd xmlsec1
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

clean:
	rm -rf $(VENV) $(VENV_JH5) build site .mypy_cache .pytest_cache .ruff_cache

# A stamp is written once its installation succeeded; pyproject.toml makes it anew.
$(VENV)/.demo $(VENV)/.docs $(VENV)/.test: $(VENV)/.%: pyproject.toml | $(VENV)/.made
	@echo "Installing gpuspawner[$*] into $(VENV); the first time this takes a minute or two."
	$(BIN)/python -m pip install --editable '.[$*]'
	@touch $@ $(if $(filter test,$*),$(VENV)/.demo)

$(VENV_JH5)/.test: pyproject.toml | $(VENV_JH5)/.made
	@echo "Installing gpuspawner[test] with JupyterHub 5 into $(VENV_JH5)."
	$(VENV_JH5)/bin/python -m pip install --editable '.[test]' 'jupyterhub>=5.5,<6'
	@touch $@

$(VENV)/.made $(VENV_JH5)/.made:
	@sh tools/make-venv.sh "$(PYTHON)" $(@D)
	@touch $@
