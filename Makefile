# `make` lists the targets. Each installs what it needs first (scripts/packages.txt).
.DEFAULT_GOAL := help
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

DEMO_SECONDS ?= 60
PREFIX ?= /usr/local
INSTALL = scripts/install
TARGET_DIR = $(or $(CARGO_TARGET_DIR),target)

.PHONY: help setup build release test check demo e2e vm bench-overhead bench-footprint bench-truth install clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 18

setup: ## install every package, tool and Rust component that is missing
	@$(INSTALL)

build: ## build vor for development
	@$(INSTALL) build
	cargo build

release: ## build vor as it is shipped
	@$(INSTALL) build
	cargo build --release

check: ## format, lints, tidy, unit, golden and contract tests (minutes, no root)
	@$(INSTALL) build check
	@cargo xtask check

test: ## everything: check, root tests, end to end natively, smoke suite in virtual machines
	@$(INSTALL) build check test vm
	@cargo xtask ci

demo: ## watch a small shop of unmodified services for DEMO_SECONDS
	@$(INSTALL) build demo
	cargo build --release
	@cargo run --release --package vor-e2e --bin demo -- --seconds $(DEMO_SECONDS)

e2e: ## the end-to-end scenarios natively
	@$(INSTALL) build test
	@cargo xtask e2e

vm: ## the smoke suite on each kernel through each door
	@$(INSTALL) build test vm
	@cargo xtask vm smoke

bench-overhead: ## instructions per request, counted in a virtual machine
	@$(INSTALL) build vm bench
	@cargo xtask bench overhead

bench-footprint: ## start, memory and size, measured on this machine
	@$(INSTALL) build
	@cargo xtask bench footprint

bench-truth: ## whether calls are linked to the requests that caused them
	@$(INSTALL) build test bench
	@cargo xtask bench truth

install: release ## put vor under PREFIX (/usr/local)
	install -D -m 755 $(TARGET_DIR)/release/vor $(DESTDIR)$(PREFIX)/bin/vor

clean: ## remove everything built
	cargo clean
	rm -rf target
