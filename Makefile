# Targets are an index; what they do is in Go or in tools/.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
export CGO_ENABLED := 0
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOLANGCI := bin/golangci-lint
GOLANGCI_VERSION := v2.15.0
EXAMPLE ?= examples/openstack-small.yaml

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

deps: ## install the Debian packages that the lab needs
	@tools/deps.sh

test-deps: ## install the real parsers and daemons that the tests need
	@tools/deps.sh test

agents: ## build the programs for hosts for every architecture, to be carried inside updraft
	@go run ./internal/hostagent/embedded/gen

build: agents ## build bin/updraft
	@go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/updraft ./cmd/updraft

up: deps build ## raise the example cloud in a lab on this computer, and prove it
	@bin/updraft up -f $(EXAMPLE)

destroy: build ## take the example cloud away again
	@bin/updraft destroy -f $(EXAMPLE) --yes

test: test-deps build check unit lab ## everything that CI runs

check: $(GOLANGCI) ## the repository's rules: layers, shape, vet, linters, generated files
	@go vet -tags endure ./... && go test ./internal/archtest && $(GOLANGCI) run && tools/generated.sh

unit: ## tests that need no root and no network
	@go test ./cmd/... ./internal/... ./tests/script/...

lab: build ## tests on real systemd hosts in namespaces (root); nothing may be skipped
	@tools/lab.sh

endure: build ## the bad days of three controllers that take too long for every day
	@mkdir -p dist/tests && ENDURE=1 REQUIRE=lab go test -tags endure -count=1 -timeout 120m -v -run 'TestHighlyAvailable|TestControllers|TestStorage' -artifacts -outputdir dist/tests ./tests/e2e | tools/brief.sh dist/tests/log

bench: build ## benchmarks with their rivals; writes bench/results
	@go run ./bench/cmd/bench

fuzz: ## each fuzz target for a minute
	@tools/fuzz.sh 60s

man: build ## write the man pages to dist/man
	@bin/updraft gen --man dist/man

generate: build ## write the generated documents again
	@bin/updraft gen --dir .

clean: ## remove what was built
	@rm -rf bin dist internal/hostagent/embedded/bin/*.gz

$(GOLANGCI):
	@GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

.PHONY: endure help deps test-deps man agents build up destroy test check unit lab bench fuzz generate clean
