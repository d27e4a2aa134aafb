# Every everyday job is a target here; CI runs the same ones. `make help` lists them.

SHELL := /bin/bash
BIN := bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X linuxha/internal/daemon.Version=$(VERSION)
GO_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
TOOLMOD := -modfile=deploy/tools.mod

# name=package of every program that is not one of the tools.
DAEMONS := heartbeatd=./heartbeatd cib=./cib lrmd=./lrmd stonithd=./stonithd crmd=./crmd attrd=./crmd/attrd pengine=./pengine halab=./deploy/lab/cmd/halab

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build every daemon and tool into bin/
	@mkdir -p $(BIN)
	@set -e; for d in $(DAEMONS); do $(GO_BUILD) -o $(BIN)/$${d%%=*} $${d#*=}; done
	@$(GO_BUILD) -o $(BIN)/hatools ./tools
	@set -e; for t in $$($(BIN)/hatools --list); do ln -sf hatools $(BIN)/$$t; done

.PHONY: proto
proto: ## regenerate the gRPC code from proto/*.proto
	@cd deploy/gen && go run . ../..
