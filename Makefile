# `make` alone tells what there is.

PORT ?= 6379
PREFIX ?= /usr/local
CARGO ?= cargo

# rustup's folder, for shells that have not been told of it.
export PATH := $(PATH):$(HOME)/.cargo/bin

BUILT = $(or $(CARGO_TARGET_DIR),target)/release/libredis_limiter.$(if $(filter Darwin,$(shell uname -s)),dylib,so)
MODULES = $(DESTDIR)$(PREFIX)/lib/redis/modules

.PHONY: help build run test lint bench install clean print-module

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'

build: ## build the module, target/release/libredis_limiter.so
	@scripts/setup build
	@$(CARGO) build --release --lib

run: ## run a server with the module (PORT=6379)
	@scripts/run $(PORT)

test: ## run all tests, on every server at hand
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	@scripts/test

lint: ## check formatting, clippy, rustdoc
	@scripts/setup build
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --no-deps --document-private-items

bench: ## measure
	@scripts/setup run
	$(CARGO) bench

install: build ## install to PREFIX/lib/redis/modules (PREFIX=/usr/local, DESTDIR honoured)
	install -d "$(MODULES)"
	install -m 755 "$(BUILT)" "$(MODULES)/libredis_limiter.so"

clean: ## remove what was built
	$(CARGO) clean

print-module:
	@echo $(BUILT)
