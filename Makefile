# make run | test | lint | editor | bench | stop: see README.md. Everything happens in .venv and .local; nothing else is touched.

PYTHON ?= python3.11
BIN := .venv/bin
KLY := $(BIN)/python -m kly_mage
START ?= 2025-10-01
END ?= 2025-10-31

-include .env
export

.DEFAULT_GOAL := help
.PHONY: help install run editor test test-slow lint format lock bench data stop clean

help:
	@echo 'make run     load the sample, print gold.daily_summary and the reconciliation'
	@echo 'make editor  PostgreSQL and the Mage server on http://127.0.0.1:6789'
	@echo 'make test    lint and every test but the slow ones'
	@echo 'make bench   the benchmark'
	@echo 'make stop    stop the embedded PostgreSQL'

install: .venv/installed

.venv/installed: requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

# The sample holds rejects and conflicts on purpose: exit code 3 (done, but something needs a look) is what it should give.
run: install
	@$(KLY) backfill --start $(START) --end $(END) || [ $$? -eq 3 ]
	@$(KLY) show --start $(START) --end $(END)
	@$(KLY) reconcile --start $(START) --end $(END) || [ $$? -eq 3 ]

editor: install
	@exec $(KLY) editor

test: install lint
	$(BIN)/python -m pytest -m 'not slow and not mage and not browser'
	KLY_TEST_POSTGRES=15 $(BIN)/python -m pytest -m 'database and not slow and not mage and not browser' --ignore tests/test_crash.py
	# On a busy machine Mage's kernel or a browser may miss its moment: what failed is tried once more, alone.
	$(BIN)/python -m pytest -m '(mage or browser) and not slow' || $(BIN)/python -m pytest -m '(mage or browser) and not slow' --last-failed

test-slow: install
	$(BIN)/python -m pytest -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint kly_mage

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Resolves requirements.txt anew and notes what it got.
lock:
	rm -rf .venv && $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	head -1 requirements.lock > .venv/lock && $(BIN)/python -m pip freeze >> .venv/lock && mv .venv/lock requirements.lock
	@touch .venv/installed

bench: install
	$(BIN)/python -m bench

data: install
	$(BIN)/python data/generate.py

stop:
	@[ ! -x $(BIN)/python ] || $(KLY) stop

clean: stop
	rm -rf .venv .local .mage_data
