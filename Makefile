# make test: all tests.  make ci: what .ci/run runs.  make fuzz FUZZTIME=1h: every fuzz target for so long.
GO         ?= go
FUZZTIME   ?= 30s
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: build test ci format vet vuln fuzz tools bench bench-import bench-reading bench-growth bench-nightly

build: ## bin/ingot, as it is released: no cgo, so that Go's own resolver answers (see SECURITY.md)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ingot ./cmd/ingot

tools: ## what the tests need beside Go
	./scripts/tools.sh
	cd internal/store/s3/s3test/versitygw && CGO_ENABLED=0 $(GO) tool -n versitygw >/dev/null # built here, before tests run side by side

test: tools ## in CI with the race detector, and nothing skipped
ifeq ($(CI),true)
	./scripts/test.sh $(GO)
else
	CGO_ENABLED=0 $(GO) test -timeout 25m ./...
endif

format:
	@files=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$files" ] || { echo "not formatted (gofmt -w):"; echo "$$files"; exit 1; }

vet:
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

vuln: ## needs the vulnerability database on the network; without it, it says so and goes on
	@./scripts/vuln.sh $(GO) $(GOVULNCHECK)

fuzz: ## every target for FUZZTIME
	./scripts/fuzz.sh $(FUZZTIME)

ci: format vet vuln
	CI=true $(MAKE) test
	$(MAKE) fuzz

bench: bench-import bench-reading bench-nightly bench-growth ## all of docs/benchmarks.md that is measured against others; as root

BENCH_WORK ?= /var/tmp/ingot-bench

bench-import bench-reading bench-growth bench-nightly: bench-tools ## BENCH='-rounds 1' for other flags; see docs/benchmarks.md
	$(GO) run ./bench/$(@:bench-%=%) -work $(BENCH_WORK) $(BENCH)

.PHONY: bench-tools
bench-tools: ## what the benches need beside Go
	./scripts/tools.sh bench
