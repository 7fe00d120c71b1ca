# Three commands do everything on a fresh machine: `make demo`, `make test`, `make bench-report`. They set up what is missing first.
.PHONY: demo test test-docker bench-report setup lint help

ARGS ?=
CARGO ?= cargo
# What is measured (smoke, usual or large), what the record is called, and where the other tools are installed.
SIZE ?= usual
LABEL ?= $(SIZE)
LAKEBED_BENCH_DIR ?= .lakebed/bench
BENCH_CARGO = $(CARGO) --config benches/profile.toml
# One selection for both builds: another would pick other features of shared dependencies and compile them again.
BENCH_PACKAGES = -p lakebed -p lakebed-bench
TARGET_DIR = $(or $(CARGO_TARGET_DIR),target)

demo: setup ## set up what is missing, then: lakebed demo (ARGS="--scale 0.01 --seed 8" passes arguments)
	@$(CARGO) run --locked -p lakebed -- demo $(ARGS)

test: setup ## set up what is missing, then the whole test suite
	@.ci/setup oracles
	LAKEBED_REQUIRE_ORACLES=1 $(CARGO) test --locked --workspace

bench-report: setup ## set up the tools to compare with, measure, record under reports/, regenerate the report (SIZE=smoke|usual|large, LABEL=…)
	@LAKEBED_BENCH_DIR=$(LAKEBED_BENCH_DIR) .ci/setup bench
	@rm -rf $(LAKEBED_BENCH_DIR)/criterion
	$(BENCH_CARGO) build --locked $(BENCH_PACKAGES)
	CRITERION_HOME=$(abspath $(LAKEBED_BENCH_DIR))/criterion $(BENCH_CARGO) bench --locked --profile dev $(BENCH_PACKAGES) --bench micro -- \
		--noplot --warm-up-time 0.5 --measurement-time 2
	$(TARGET_DIR)/debug/lakebed bench --size $(SIZE) --label $(LABEL) --tools $(LAKEBED_BENCH_DIR) \
		--criterion $(LAKEBED_BENCH_DIR)/criterion --record reports

test-docker: setup ## the tests of --backend docker; skipped, loudly, where no Docker engine answers
	@CARGO="$(CARGO)" .ci/test-docker

lint: setup ## formatting and lints, as CI runs them
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

setup: ## install what is missing: DuckDB library, PostgreSQL server
	@.ci/setup base

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14
