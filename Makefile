# make help lists the targets.

SHELL := /bin/bash -o pipefail
.DELETE_ON_ERROR:

# One target after another: some rewrite what others read.
.NOTPARALLEL:

BUILD     := _build
COLLECTOR := $(BUILD)/otelcol-awsloki
LOKI      := $(BUILD)/loki
S3        := $(BUILD)/versitygw
FORWARDER := $(BUILD)/lambdaforwarder
LINTER    := $(BUILD)/golangci-lint
PROMTOOL  := $(BUILD)/promtool
VULNCHECK := $(BUILD)/govulncheck

MODULES  := . e2e e2e/loki e2e/versitygw tools tools/lint tools/promtool tools/vulncheck
EXAMPLES := config.yaml $(wildcard examples/*.yaml)

BUILDER  := go tool -modfile=tools/go.mod builder
# The Lambda runs on Linux, without the parts of aws-lambda-go that only the retired go1.x runtime needs.
LAMBDA_BUILD := CGO_ENABLED=0 GOOS=linux go build -trimpath -tags lambda.norpc \
	-ldflags '-s -w'

PRODUCT_SOURCES := $(shell find exporter internal processor receiver -name '*.go' -not -name '*_test.go')
LAMBDA_SOURCES  := $(shell find internal lambdaforwarder -name '*.go' -not -name '*_test.go')

# For make ledger: flags that are laid over the usual ones, such as LEDGER='-seed 7 -verify=false'.
LEDGER    ?=
FUZZTIME  ?= 30s
BENCHTIME ?= 2s
VULNDB    ?= https://vuln.go.dev

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build lambda $(if $(LOKI_URL),,loki) ## Show the main job: events through the forwarder and the collector into Loki
	cd e2e && go run ./demo

.PHONY: ledger
ledger: build lambda loki ## Send a million lines while everything fails, and show that none is lost: docs/ledger.md
	cd e2e && go build -o ../$(BUILD)/ledger ./ledger/run
	$(BUILD)/ledger -lines 1000000 -groups 50 -rate 4000 $(LEDGER)

.PHONY: run
run: build ## Run the collector with config.yaml, against LOKI_URL
	$(COLLECTOR) --config config.yaml

.PHONY: build
build: $(COLLECTOR) ## Build the collector: _build/otelcol-awsloki

$(COLLECTOR): builder-config.yaml go.mod go.sum tools/go.mod $(PRODUCT_SOURCES)
	$(BUILDER) --config builder-config.yaml --skip-strict-versioning=false

.PHONY: lambda
lambda: $(FORWARDER) $(FORWARDER)-amd64.zip $(FORWARDER)-arm64.zip ## Build the Lambda forwarder: _build/lambdaforwarder and a zip for each architecture

$(FORWARDER): go.mod go.sum $(LAMBDA_SOURCES)
	$(LAMBDA_BUILD) -o $@ ./lambdaforwarder

$(FORWARDER)-%.zip: go.mod go.sum $(LAMBDA_SOURCES)
	GOARCH=$* $(LAMBDA_BUILD) -o $(BUILD)/$*/bootstrap ./lambdaforwarder
	cd tools && go run ./lambdazip ../$@ ../$(BUILD)/$*/bootstrap

.PHONY: loki
loki: $(LOKI) ## Build Loki itself, for the demo and the tests: _build/loki

$(LOKI): e2e/loki/go.mod e2e/loki/go.sum
	cd e2e/loki && CGO_ENABLED=0 go build -o ../../$@ github.com/grafana/loki/v3/cmd/loki

.PHONY: versitygw
versitygw: $(S3) ## Build an S3 server, for the tests: _build/versitygw

$(S3): e2e/versitygw/go.mod e2e/versitygw/go.sum
	cd e2e/versitygw && CGO_ENABLED=0 go build -o ../../$@ github.com/versity/versitygw/cmd/versitygw

.PHONY: test
test: unit generated tidy validate e2e ## Everything that must pass

.PHONY: unit
unit: ## Unit tests, with the race detector
	go test -race -timeout 40m ./...

.PHONY: e2e
e2e: build lambda loki versitygw ## End-to-end tests, against real Loki, an S3 server and the built binaries
	cd e2e && go vet ./... && go test -count=1 -timeout 60m ./...

.PHONY: validate
validate: build deploycheck alerts ## Have the built collector check config.yaml and every example
	@for config in $(EXAMPLES); do \
		echo "validate $$config"; \
		$(COLLECTOR) validate --config $$config || exit 1; \
	done

.PHONY: deploycheck
deploycheck: ## Check the CloudFormation template and the Terraform module
	cd tools && go vet ./deploycheck && go test -count=1 -timeout 5m ./deploycheck

.PHONY: alerts
alerts: $(PROMTOOL) ## Check and test the alerts for Prometheus
	$(PROMTOOL) check rules --lint=all --lint-fatal deploy/observability/rules.yaml
	$(PROMTOOL) test rules deploy/observability/rules_test.yaml

# Without the service discoveries, which only a Prometheus needs.
$(PROMTOOL): tools/promtool/go.mod tools/promtool/go.sum
	cd tools/promtool && CGO_ENABLED=0 go build -tags remove_all_sd -o ../../$@ github.com/prometheus/prometheus/cmd/promtool

.PHONY: vulncheck
vulncheck: $(VULNCHECK) build lambda ## Look for known vulnerabilities, in the source and in the programs; asks VULNDB
	$(VULNCHECK) -db $(VULNDB) ./...
	$(VULNCHECK) -db $(VULNDB) -mode binary $(COLLECTOR)
	$(VULNCHECK) -db $(VULNDB) -mode binary $(FORWARDER)

$(VULNCHECK): tools/vulncheck/go.mod tools/vulncheck/go.sum
	cd tools/vulncheck && go build -o ../../$@ golang.org/x/vuln/cmd/govulncheck

.PHONY: generate
generate: ## Write mdatagen's files anew
	go generate ./...

.PHONY: generated
generated: ## Check that mdatagen's files are up to date
	@set -e; copy=$(BUILD)/generated; rm -rf $$copy; mkdir -p $$copy; \
	cp -R exporter internal processor receiver tools go.mod go.sum $$copy; \
	(cd $$copy && go generate ./...); \
	for part in exporter processor receiver; do \
		diff -r $$part $$copy/$$part || { echo "generated files are not up to date: run make generate" >&2; exit 1; }; \
	done; \
	rm -rf $$copy

.PHONY: tidy
tidy: ## Check that go.mod and go.sum are tidy, in every module
	@for module in $(MODULES); do \
		echo "go mod tidy -diff in $$module"; \
		(cd $$module && go mod tidy -diff) || exit 1; \
	done

.PHONY: lint
lint: $(LINTER) ## Run the linters
	$(LINTER) run
	cd e2e && ../$(LINTER) run --config ../.golangci.yml
	cd tools && ../$(LINTER) run --config ../.golangci.yml

$(LINTER): tools/lint/go.mod tools/lint/go.sum
	cd tools/lint && go build -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: bench
bench: ## Run the benchmarks
	go test -run '^$$' -bench . -benchtime $(BENCHTIME) ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME
	@grep -rlE '^func Fuzz' --include='*_test.go' exporter internal lambdaforwarder processor receiver | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9]*' $$file | cut -d' ' -f2 | while read -r target; do \
			echo "$$target in $$(dirname $$file)"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./$$(dirname $$file) || exit 1; \
		done || exit 1; \
	done

.PHONY: clean
clean: ## Remove what was built, but not ./data, where make run keeps its queue
	rm -rf $(BUILD)
