# The commands of Sealpost's source. "make run" needs Go alone.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
LDFLAGS  = -s -w -X github.com/sealpost/sealpost/internal/cli.version=$(VERSION)
TOOL     = $(GO) tool -modfile=tools/go.mod

.PHONY: run build test race torture nightly bench bench-mail bench-relay bench-enqueue bench-queue bench-nodes bench-client fuzz lint fmt screenshots

run: build
	./bin/sealpost serve

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/sealpost ./cmd/sealpost

# All tests. On Debian and Ubuntu, as root, what they need is installed first;
# elsewhere tests whose peer is missing are skipped and say so.
test:
	test/install-peers
	$(GO) test -timeout 40m $(TESTFLAGS) ./...

race:
	$(MAKE) test TESTFLAGS=-race

# The long matrices in full: every kill point, every certificate, both engines.
torture:
	test/install-peers
	SEALPOST_TORTURE=1 $(GO) test -timeout 300m -count=1 ./...

# What .ci/run leaves out because it takes hours.
nightly:
	.ci/nightly

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./bench/...

# Mail side by side with its peers, about 8 minutes, and one target for each part
# of the table in bench/README.md. On Debian and Ubuntu, as root, with the package
# postfix. "make -s bench-mail | bench/rows" makes rows of it; COUNT=5 for medians.
COUNT ?= 1
BENCH  = $(GO) test -timeout 60m -run '^$$' -count $(COUNT) ./bench -bench

bench-mail: bench-relay bench-enqueue bench-client bench-nodes bench-queue

bench-relay:
	$(BENCH) '^Benchmark(PostfixRelay|Engine)$$' -benchtime 10000x

bench-enqueue:
	$(BENCH) '^Benchmark(PostfixInsert|Enqueue)$$' -benchtime 4000x

bench-client:
	$(BENCH) '^BenchmarkClient$$' -benchtime 700ms

bench-nodes:
	$(BENCH) '^BenchmarkNodes$$' -benchtime 1200x

# SEALPOST_QUEUE=1000000 for a million: 12 GB of disk, half an hour.
bench-queue:
	$(BENCH) '^BenchmarkQueue$$' -benchtime 1x

# Each fuzz target for FUZZTIME (default 20 s).
fuzz:
	test/fuzz-all $(FUZZTIME)

lint:
	test/lint

fmt:
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

# The pictures in the README and in docs, taken from the running product.
screenshots:
	test/install-peers
	SCREENSHOTS=$(CURDIR)/docs/images $(GO) test -count=1 -run '^TestScreenshots' ./test/journey
