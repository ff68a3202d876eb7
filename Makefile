# `make` alone tells what there is.

PORT ?= 6379
PREFIX ?= /usr/local
CARGO ?= cargo

# rustup's folder, for shells that have not been told of it.
export PATH := $(PATH):$(HOME)/.cargo/bin

BUILT = $(or $(CARGO_TARGET_DIR),target)/release/libredis_limiter.$(if $(filter Darwin,$(shell uname -s)),dylib,so)
MEASURE = PYTHONDONTWRITEBYTECODE=1 python3 benches/measure
MODULES = $(DESTDIR)$(PREFIX)/lib/redis/modules

.PHONY: help build run check test test-one test-ha test-clients lint minimum-rust bench bench-instructions bench-memory bench-worst bench-node \
        performance-docs install clean print-module

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-26s %s\n", $$1, $$2 }'

build: ## build the module, target/release/libredis_limiter.so, its debug symbols beside it
	@scripts/setup build
	@scripts/strip --prepare "$(BUILT)"
	@$(CARGO) build --release --lib
	@scripts/strip "$(BUILT)"

run: ## run a server with the module (PORT=6379)
	@scripts/run $(PORT)

check: ## formatting, clippy, tests that need no server: what to run while you work
	@scripts/setup build
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) test --quiet --lib
	$(CARGO) test --quiet --test '*' models::

test-one: ## run the tests whose name contains T, on one server (T=a_frozen_clock, SERVER="valkey 9" or a path)
	@scripts/setup run
	@scripts/test-one "$(T)" $(if $(SERVER),"$(SERVER)")

test: ## run all tests, on every server at hand; those of clients/ too, where Node.js 20 is (CLIENTS=no leaves them out)
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	@scripts/test
	@$(if $(filter no,$(CLIENTS)),true,scripts/test-clients --if-there)

test-ha: ## run the tests of failover, Sentinel and clusters, on every server at hand
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	@scripts/test ha

test-clients: ## run the checks and tests of the packages in clients/
	@scripts/setup clients
	@$(MAKE) --no-print-directory build
	@scripts/test-clients

lint: ## check formatting, clippy, rustdoc; scripts and dependencies, where shellcheck and cargo-deny are at hand
	@scripts/setup build
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --no-deps --document-private-items
	@! command -v shellcheck >/dev/null || shellcheck scripts/* .ci/run
	@scripts/deny

minimum-rust: ## check that the oldest Rust that Cargo.toml promises is enough, where rustup can bring it
	@scripts/setup build
	@scripts/minimum-rust

bench-instructions: ## count each command's instructions, fail above benches/measure/limits.txt (ONLY="fixed log", ANNOTATE=1, REDIS_CELL=)
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	@$(MEASURE)/instructions.py $(ONLY) $(if $(ANNOTATE),--annotate) $(if $(SAVE),--save docs/performance/instructions.json)

bench: ## throughput and latency beside native commands, Lua and redis-cell (QUICK=1, SERVER="valkey 8", REDIS_CELL=)
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	@$(MEASURE)/throughput.py $(if $(QUICK),--quick) $(if $(SERVER),--server "$(SERVER)") $(if $(SAVE),--save docs/performance/throughput.json)

bench-memory: ## bytes of each kind of limiter, on every server at hand (QUICK=1)
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	@$(MEASURE)/memory.py $(if $(QUICK),--quick) $(if $(SAVE),--save docs/performance/memory.json)

bench-worst: ## the worst cases, and what a PING beside them waits (QUICK=1, SERVER=)
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	@$(MEASURE)/worst_cases.py $(if $(QUICK),--quick) $(if $(SERVER),--server "$(SERVER)") $(if $(SAVE),--save docs/performance/worst_cases.json)

bench-node: ## an Express application behind this and other limiters for Node.js (QUICK=1, ONLY=upstash, SERVER=)
	@scripts/setup run
	@$(MAKE) --no-print-directory build
	@scripts/bench-node "$(BUILT)" "$(SERVER)" $(if $(QUICK),--quick) $(if $(ONLY),--only "$(ONLY)") $(if $(SAVE),--save "$(CURDIR)/docs/performance/node.json")

performance-docs: ## write docs/performance.md's tables and figures from what SAVE=1 kept
	@$(MEASURE)/report.py

install: build ## install to PREFIX/lib/redis/modules (PREFIX=/usr/local, DESTDIR honoured)
	install -d "$(MODULES)"
	install -m 755 "$(BUILT)" "$(MODULES)/libredis_limiter.so"

clean: ## remove what was built
	$(CARGO) clean

print-module:
	@echo $(BUILT)
