# SPDX-License-Identifier: Apache-2.0
# Every target sets up what it needs by itself; `make` alone lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test build bench soak demo openapi format lint clean

# Arguments for `make run`, `make test`, `make bench`:  make run ARGS="--listen 127.0.0.1:9000"
ARGS ?=

RELEASE := swift build --configuration release --product tally
FORMATTED := Sources Tests Package.swift

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## build the service and run it; ARGS are handed to `tally serve`
	@scripts/setup run
	@$(RELEASE)
	@exec .build/release/tally serve $(ARGS)

test: ## run every test; ARGS are handed to `swift test`
	@scripts/test $(ARGS)

build: ## build the release binary, .build/release/tally
	@scripts/setup run
	@$(RELEASE)

bench: ## measure side by side with other servers; ARGS: --quick, --rounds N, --only CASE, ..., or: history
	@scripts/setup bench
	@$(RELEASE)
	@bench/run $(ARGS)

soak: ## kill the service and its Redis a thousand times under load; ARGS: --kills N, --seed N
	@scripts/setup run
	@$(RELEASE)
	@scripts/soak $(ARGS)

demo: ## fill a fresh service with a trace and three months of history, compare sums, show the pages
	@scripts/setup demo
	@$(RELEASE)
	@scripts/demo

openapi: ## make openapi.json and docs/http-api.md from docs/openapi
	@scripts/openapi

format: ## rewrite the Swift sources in the project's style
	@swift format --in-place --recursive --configuration .swift-format $(FORMATTED)

lint: ## fail if a Swift source is not in the project's style
	@swift format lint --strict --recursive --configuration .swift-format $(FORMATTED)

clean: ## remove everything that was built
	@rm -rf .build
