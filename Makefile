# make run | test | lint | editor | bench | stop: see README.md. Everything happens in .venv and .local; nothing else is touched.

PYTHON ?= python3.11
BIN := .venv/bin
# Which sample `make run` loads: `data/`, or with SAMPLE=google the same month as Google writes it, into a database of its own.
SAMPLE :=
ifneq ($(filter-out google,$(SAMPLE)),)
$(error SAMPLE=$(SAMPLE): there is google, and without SAMPLE the plain one)
endif
OF_SAMPLE := $(if $(SAMPLE),KLY_DATA_DIR='$(CURDIR)/data_$(SAMPLE)' POSTGRES_DBNAME=kly_$(SAMPLE) KLY_BIGQUERY_PREFIX=kly_$(SAMPLE)_ )
KLY := $(OF_SAMPLE)$(BIN)/python -m kly_mage
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Each worker has a PostgreSQL of its own; what a file's tests share, they share in one worker. Files come as tests/conftest.py
# orders them, the longest first; not by how many tests they have.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
START ?= 2025-10-01
END ?= 2025-10-31

# Which warehouse says, where neither make nor the environment does, the file that commands read it from.
KLY_WAREHOUSE ?= $(shell sed -n "s/^ *KLY_WAREHOUSE *= *[\"']*\([a-z]*\).*/\1/p" $(or $(KLY_ENV_FILE),.env) 2>/dev/null)

# These reach the commands as options. As variables of Mage's, it would mask their values in every output.
unexport START END

.DEFAULT_GOAL := help
.PHONY: help install run editor dashboard test test-more test-slow test-docker lint format lock bench data docs stop clean

help:
	@echo 'make run     load the sample, print gold.daily_summary and the reconciliation; SAMPLE=google: as Google writes it'
	@echo 'make editor  PostgreSQL and the Mage server on http://127.0.0.1:6789'
	@echo 'make dashboard  the numbers as pages in a browser, on http://127.0.0.1:6790'
	@echo 'make test    lint and the tests on PostgreSQL 18, a quarter of an hour'
	@echo 'make test-more  on PostgreSQL 15, BigQuery'"'"'s stand-in, in Mage and the browser: twenty minutes'
	@echo 'make bench   the benchmark'
	@echo 'make docs    the documentation as a site, into .site'
	@echo 'make stop    stop the embedded PostgreSQL'

install: .venv/installed $(if $(filter bigquery,$(KLY_WAREHOUSE)),.venv/bigquery)

.venv/bigquery: requirements-bigquery.txt .venv/installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r $< || $(PIP) --no-deps -r $<
	@touch $@

# uv takes half a minute where pip takes three; pip is for who has a mirror in pip.conf, which uv does not read. --no-deps: the
# lock is complete, and some of it is newer than mage-ai asks for (requirements-override.txt).
.venv/installed: requirements.lock
	$(PYTHON) -m venv .venv
	$(PIP) $$(grep -E '^(pip|uv)==' requirements.lock)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps -r requirements.lock \
		|| $(PIP) --no-deps -r requirements.lock
	@touch $@

# Streamlit, for who wants the dashboard; --no-deps as above.
.venv/dashboard: .venv/installed requirements-dashboard.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps -r requirements-dashboard.txt \
		|| $(PIP) --no-deps -r requirements-dashboard.txt
	@touch $@

# The sample holds rejects and conflicts on purpose: exit code 3 (done, but something needs a look) is what it should give. It is
# complete however fresh the checkout: nobody has to wait for its files to settle.
run: install
	@KLY_SETTLE_SECONDS=0 $(KLY) backfill --start $(START) --end $(END) || [ $$? -eq 3 ]
	@$(KLY) show --start $(START) --end $(END)
	@$(KLY) reconcile --start $(START) --end $(END) || [ $$? -eq 3 ]
ifneq ($(KLY_WAREHOUSE),bigquery)
	@echo
	@echo "next: make editor$(if $(SAMPLE), SAMPLE=$(SAMPLE),              )               the same in Mage, in the browser"
	@echo "      $(KLY) status     which days are loaded"
	@echo "      $(KLY) conflicts  the rows that wait for a decision"
endif

editor: install
	@$(OF_SAMPLE)exec $(BIN)/python -m kly_mage editor

dashboard: install .venv/dashboard
	@$(OF_SAMPLE)exec $(BIN)/python -m kly_mage dashboard

test: install .venv/dashboard .venv/bigquery lint
	$(PYTEST) -n 3 -m 'not emulator and not slow and not mage and not browser and not docker and not walk'

# What would take `make test` beyond a quarter of an hour: other servers than PostgreSQL 18.
test-more: install .venv/dashboard .venv/bigquery
	$(PYTEST) -n 3 -m 'emulator and not slow and not mage and not browser'
	KLY_TEST_POSTGRES=15 $(PYTEST) -n 3 -m 'database and not one_version and not slow and not mage and not browser and not docker'
	# On a busy machine Mage's kernel or a browser may miss its moment: what failed is tried once more, alone.
	$(PYTEST) -n 2 -m '(mage or browser) and not slow' || $(PYTEST) -m '(mage or browser) and not slow' --last-failed

test-slow: install
	$(PYTEST) -n 2 --dist worksteal -m slow

# docker-compose.yml, brought up for real, as root: wants docker.io, docker-compose and mmdebstrap; some eight minutes.
test-docker: install
	$(BIN)/python -m pytest -m docker

lint: install .venv/dashboard
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint kly_mage

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Resolves requirements.txt anew, under requirements-override.txt and for the first Python 3.11 (Debian 12 has 3.11.2).
lock: install
	$(BIN)/uv pip compile --quiet --upgrade --no-annotate --custom-compile-command 'make lock' --python $(BIN)/python \
		--python-version 3.11 --override requirements-override.txt --output-file requirements.lock requirements.txt
	$(MAKE) install

bench: install
	$(BIN)/python -m bench

data: install
	$(BIN)/python data/generate.py
	$(BIN)/python data/generate_google.py

# An environment of its own: what builds pages is no part of what loads rows. A link that leads nowhere fails it.
docs: .venv-docs/installed
	.venv-docs/bin/mkdocs build --strict
	@echo 'open .site/index.html'

.venv-docs/installed: requirements-docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-docs.txt
	@touch $@

stop:
	@[ ! -x $(BIN)/python ] || $(KLY) stop

# What can be made again. The warehouse cannot always be: its files may be gone from the landing zone.
clean: stop
	rm -rf .venv .venv-docs .site .mage_data
	@[ ! -e .local ] || echo 'the warehouse stays: if nobody needs it any more, remove .local by hand (docs/backup.md keeps a copy)'
