# Two commands to begin with: `make run` and `make test`. Each does its own set-up.

# One profile for tests, end-to-end tests and suites, so that everything is built once; see Cargo.toml.
PROFILE := suite

.PHONY: run test check conformance differential bench bench-waf instructions instructions-baseline fuzz deny setup help

help: ## Lists the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 23

run: setup ## Starts two demo tenants over HTTPS on *.localhost and prints three curl commands; Ctrl-C drains.
	cargo build --release -p veloflux
	exec target/release/veloflux demo --dir .run --crs "$$(scripts/crs-dir)"

test: setup check ## Format, lints, all tests of the workspace, the conformance suites, then instruction counts.
	cargo build --workspace --all-targets --profile $(PROFILE)
	cargo nextest run --workspace --no-fail-fast --cargo-profile $(PROFILE)
	target/$(PROFILE)/veloflux-conformance
	@$(MAKE) --no-print-directory instructions

check: ## Format and lints.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

conformance: setup ## Suites that others wrote. SUITES="crs-edge http11probe" narrows them.
	cargo build -p veloflux -p veloflux-conformance --profile $(PROFILE)
	target/$(PROFILE)/veloflux-conformance $(SUITES)

differential: setup ## 50,000 requests through our engine and libmodsecurity, level 4. DIFFERENTIAL="--seed 7 --only 93" narrows it.
	cargo build -p veloflux-conformance --bin veloflux-differential --profile $(PROFILE)
	target/$(PROFILE)/veloflux-differential $(DIFFERENTIAL)

bench: setup ## CPU per request beside nginx and haproxy. BENCH="--quick --only h1-plain-256" narrows it.
	cargo build --release -p veloflux -p veloflux-bench
	target/release/veloflux-bench $(BENCH)

bench-waf: setup ## CPU per judged request beside libmodsecurity and zentinel-modsec. BENCH="--quick --only get-page" narrows it.
	cargo build --release --manifest-path conformance/reference/zentinel/Cargo.toml --target-dir target/zentinel
	cargo build --release -p veloflux-bench-waf
	target/release/veloflux-bench-waf $(BENCH)

instructions: ## Counts instructions per judged request and compares them with the checked-in baseline.
	cargo build --release -p veloflux-bench-waf --bin veloflux-instructions
	target/release/veloflux-instructions

instructions-baseline: setup ## Counts instructions and writes the baseline; the commit says why they changed.
	cargo build --release -p veloflux-bench-waf --bin veloflux-instructions
	target/release/veloflux-instructions --write

fuzz: setup ## Fuzzes everything that parses bytes from outside. SECONDS=60 for each target; TARGETS="http1" narrows it.
	scripts/fuzz $(or $(SECONDS),60) $(TARGETS)

deny: ## Licences, sources and duplicate versions of every dependency.
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-deny
	cargo deny check licenses bans sources

setup: ## Installs what this Debian machine lacks; changes nothing when all is there.
	@scripts/setup
