# Two commands do everything on a fresh machine: `make demo` and `make test`. Both set up what is missing first.
.PHONY: demo test setup lint help

ARGS ?=
CARGO ?= cargo

demo: setup ## set up what is missing, then: lakebed demo (ARGS="--scale 0.01 --seed 8" passes arguments)
	@$(CARGO) run --locked -p lakebed -- demo $(ARGS)

test: setup ## set up what is missing, then the whole test suite
	@.ci/setup oracles
	LAKEBED_REQUIRE_ORACLES=1 $(CARGO) test --locked --workspace

lint: setup ## formatting and lints, as CI runs them
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

setup: ## install what is missing: DuckDB library, PostgreSQL server
	@.ci/setup base

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10
