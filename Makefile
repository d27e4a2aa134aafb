# Every everyday job is a target here; CI runs the same ones. `make help` lists them.

SHELL := /bin/bash
BIN := bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X linuxha/internal/daemon.Version=$(VERSION)
GO_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
TOOLMOD := -modfile=deploy/tools.mod

# name=package of every program that is not one of the tools.
DAEMONS := heartbeatd=./heartbeatd cib=./cib lrmd=./lrmd stonithd=./stonithd crmd=./crmd attrd=./crmd/attrd pengine=./pengine halab=./deploy/lab/cmd/halab fence_lab=./deploy/lab/cmd/fence_lab send_arp=./agents/cmd/send_arp ocf-agent-tester=./agents/tester

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
	@go run ./cib/schema/rng $(BIN)/schemas

.PHONY: proto
proto: ## regenerate the gRPC code from proto/*.proto
	@cd deploy/gen && go run . ../..

.PHONY: test
test: build ## unit, golden and property tests, a short simulation, a short end-to-end pass (as root)
	@deploy/prepare
	go test -shuffle=on $$(go list ./... | grep -v /test/e2e)
	go run ./test/sim/cmd/hasim -seeds 200
	go test -short -count=1 -timeout 6m ./test/e2e

.PHONY: race
race: ## unit tests under the race detector (needs a C compiler)
	go test -race -shuffle=on $$(go list ./... | grep -v -e /test/ -e /pengine)

.PHONY: e2e
e2e: build ## the full end-to-end suite on real processes (as root; artifacts are kept on failure)
	@deploy/prepare
	go test -count=1 -timeout 30m -v ./test/e2e

.PHONY: sim
sim: ## run the simulator: SEEDS=n histories from SEED=s on, or SEED=s SEEDS=1 to replay one
	go run ./test/sim/cmd/hasim -seeds $(or $(SEEDS),2000) $(if $(SEED),-seed $(SEED))

.PHONY: cibdiff
cibdiff: build ## random operations on random CIBs with our cibadmin and an installed reference's: OPS=n from SEED=s
	go run ./test/cibdiff/cmd/cibdiff -operations $(or $(OPS),1000) -seed $(or $(SEED),1)

.PHONY: clidiff
clidiff: build ## command lines of every tool with ours and with an installed reference's (CLIDIFFFLAGS='-only crm_mon')
	go run ./test/clidiff/cmd/clidiff $(CLIDIFFFLAGS)

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (default 10s); findings land in testdata/fuzz
	@set -e; for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),10s) -fuzzminimizetime 20x $$p; done; done

.PHONY: bench
bench: build ## failover times on real processes, and Go benchmarks (see docs/benchmarks.md)
	@deploy/prepare
	go run ./test/bench/cmd/failover $(BENCHFLAGS)
	go test -run '^$$' -bench . -benchtime 1s $$(go list ./... | grep -v -e /test/)

.PHONY: bombs
bombs: ## documents that ask the scheduler for too much, all of them (they are left in BOMBS, default bin/bombs)
	@mkdir -p $(or $(BOMBS),$(BIN)/bombs)
	PENGINE_BOMBS=$(abspath $(or $(BOMBS),$(BIN)/bombs)) go test -count=1 -v -run TestBombs ./pengine/schedule

.PHONY: crash
crash: ## kill -9 of a CIB that takes updates, CRASHES times (1000): what was acknowledged is there
	CIB_CRASHES=$(or $(CRASHES),1000) go test -count=1 -timeout 60m -v -run 'TestKillNine' ./cib/server
	go test -count=1 -run 'TestLives|TestEveryCall' ./cib/store

.PHONY: bench-scheduler
bench-scheduler: build ## the scheduler beside Debian's crm_simulate (BENCHFLAGS='-skip-ref 100x5000' saves minutes)
	go run ./test/bench/cmd/scheduler $(BENCHFLAGS)

.PHONY: bench-cib
bench-cib: build ## changes of the CIB on real processes, beside Pacemaker's where its lab is at hand
	@deploy/prepare
	go run ./test/bench/cmd/cib $(if $(wildcard ../shared/peers/pacemaker-lab.sh),-peers ../shared/peers) $(BENCHFLAGS)

.PHONY: bench-heartbeat
bench-heartbeat: build ## messaging beside Debian's heartbeat 3.0.6 and corosync 3.1.7, where they are installed
	@deploy/prepare
	go run ./test/bench/cmd/heartbeat $(BENCHFLAGS)

.PHONY: demo
demo: build ## three nodes, a virtual IP, a killed node: watch the service come back
	@deploy/prepare
	$(BIN)/halab demo

.PHONY: lint
lint: ## gofumpt, vet, staticcheck, go.mod and generated code fresh
	@out=$$(git ls-files '*.go' | grep -v '\.pb\.go$$' | xargs go tool $(TOOLMOD) gofumpt -l); \
	  if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	go vet ./...
	go tool $(TOOLMOD) staticcheck ./...
	go mod tidy -diff
	@$(MAKE) -s proto && git diff --exit-code --stat -- proto || { echo "generated code is stale: commit what 'make proto' wrote"; exit 1; }

.PHONY: install
install: $(if $(shell command -v go),build) ## install below DESTDIR: daemons, tools, agents, schemas, unit; creates hacluster and haclient
	@[ -x $(BIN)/hatools -a -d $(BIN)/schemas ] || { echo "make install: nothing is built in $(BIN)/ and there is no go to build it: run 'make build' first"; exit 1; }
	install -d $(DESTDIR)/usr/lib/heartbeat $(DESTDIR)/usr/sbin $(DESTDIR)/etc/ha.d/resource.d $(DESTDIR)/usr/lib/systemd/system \
	  $(DESTDIR)/usr/lib/ocf/resource.d/heartbeat $(DESTDIR)/usr/lib/ocf/lib/heartbeat $(DESTDIR)/var/lib/heartbeat/crm $(DESTDIR)/var/lib/heartbeat/pengine
	set -e; for d in $(DAEMONS); do install -m 755 $(BIN)/$${d%%=*} $(DESTDIR)/usr/lib/heartbeat/; done
	install -m 755 $(BIN)/hatools $(DESTDIR)/usr/lib/heartbeat/
	set -e; for t in ipfail pingd apphbd ha_logd; do ln -sf hatools $(DESTDIR)/usr/lib/heartbeat/$$t; done
	set -e; for t in $$($(BIN)/hatools --list); do ln -sf ../lib/heartbeat/hatools $(DESTDIR)/usr/sbin/$$t; done
	install -d $(DESTDIR)/usr/share/pacemaker
	install -m 644 $(BIN)/schemas/*.rng $(DESTDIR)/usr/share/pacemaker/
	install -d $(DESTDIR)/usr/share/heartbeat $(DESTDIR)/etc/init.d
	set -e; for t in ResourceManager mach_down req_resource hb_standby hb_takeover hb_addnode hb_delnode hb_setweight hb_setsite; do ln -sf ../../lib/heartbeat/hatools $(DESTDIR)/usr/share/heartbeat/$$t; done
	install -m 755 deploy/init/heartbeat $(DESTDIR)/etc/init.d/
	@# crmsh and pcs ask the daemons by Pacemaker's names and look into its folders; what is there already stays
	install -d $(DESTDIR)/usr/lib/pacemaker $(DESTDIR)/var/lib/pacemaker
	set -e; for t in $$($(BIN)/hatools --list | grep ^pacemaker-); do [ -e $(DESTDIR)/usr/lib/pacemaker/$$t ] || ln -s ../heartbeat/hatools $(DESTDIR)/usr/lib/pacemaker/$$t; done
	set -e; for l in cib=crm pengine=pengine; do d=$(DESTDIR)/var/lib/pacemaker/$${l%=*}; [ -e $$d -o -L $$d ] || ln -s ../heartbeat/$${l#*=} $$d; done
	cp -a agents/ocf/. $(DESTDIR)/usr/lib/ocf/
	cp -a agents/ha.d/. $(DESTDIR)/etc/ha.d/
	install -m 644 deploy/systemd/heartbeat.service $(DESTDIR)/usr/lib/systemd/system/
	@if [ -z "$(DESTDIR)" ]; then deploy/create-users; fi

.PHONY: clean
clean: ## remove what was built and what dead labs left behind
	@if [ -x $(BIN)/halab ]; then $(BIN)/halab clean; fi
	rm -rf $(BIN)
