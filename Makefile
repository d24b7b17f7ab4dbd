# Thin names over cargo and deploy/: `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: up test check bench chaos coverage install help

# The sample and its stand-in for GitHub, unless a person says DEMO=0 or names a real GitHub.
DEMO ?= $(if $(filter ZEITWORK_GITHUB_%,$(.VARIABLES)),0,1)
# The committed query data, whatever DATABASE_URL a person has set.
export SQLX_OFFLINE := true
TARGET := $(or $(CARGO_TARGET_DIR),target)

up: ## start the whole platform on this host, with a sample; Ctrl-C stops it
	@deploy/setup
	@echo "up: building (the first time takes some minutes)"
	@cargo build --workspace --bins
	@exec $(TARGET)/debug/zeitwork up $(if $(filter 0,$(DEMO)),,--demo)

# One build for everything: gates and tests run what it has made.
test: ## every gate and every test, starting every server that they need
	@deploy/setup test
	@echo "test: 1 of 3, building (the first time takes some minutes)"
	@cargo build --workspace --all-targets
	@echo "test: 2 of 3, gates"
	@$(TARGET)/debug/xtask check
	@echo "test: 3 of 3, tests"
	@cargo test --workspace

check: ## the gates alone: format, sizes, edges, licences, lints, generated files
	@deploy/setup
	@cargo xtask check

# An optimised build is measured. `PROFILE=release`: what people run to the last pass, longer
# to build; `PROFILE=dev`: without optimisation.
PROFILE ?= measure

bench: ## the figures of docs/benchmarks; BENCH=push|rollback|webhook|route|memory|deploys for some
	@deploy/setup
	@cargo build --profile $(PROFILE) --workspace --bins
	@$(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/zeitwork-bench $(BENCH)

# With CHAOS the operator dies before and after each step, else at one of both.
chaos: ## the stories about kills, frozen processes and a lost database, at every step
	@deploy/setup
	@cargo build --workspace --bins
	@CHAOS=1 cargo test -p zeitwork-tests faults

coverage: ## lines that the tests reach
	@deploy/setup
	@cargo xtask coverage

PREFIX ?= /usr/local
PROGRAMS := zeitwork zeitwork-api zeitwork-operator zeitwork-node-agent zeitwork-edge-proxy

install: ## the programs, optimised, into PREFIX (/usr/local) below DESTDIR; run it as who may write there
	@cargo build --release $(PROGRAMS:%=--bin %)
	@install -D -t $(DESTDIR)$(PREFIX)/lib/zeitwork $(PROGRAMS:%=$(TARGET)/release/%)
	@install -d $(DESTDIR)$(PREFIX)/bin
	@ln -sf ../lib/zeitwork/zeitwork $(DESTDIR)$(PREFIX)/bin/zeitwork

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sort | while IFS=: read -r name rest; do \
		printf '  make %-9s %s\n' "$$name" "$${rest##*## }"; done
