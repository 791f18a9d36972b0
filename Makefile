# The commands of this project. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test model verify fix sim bench packages operator-image kubernetes-test tools

help: ## list the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

tools: ## install what building needs and is missing (apt and cargo only; says what)
	@tools/ensure-tools

demo: tools ## build, run a cluster with simulated hosts here, lose a host, fence it, recover its guests, kill daemons
	@tools/demo

# Every selection of packages has its own features of what they share, and with them artefacts of its own: one for all tests that are not simulated.
selection := --workspace --exclude quorate-sim --features quorate-node-daemon/simulated --locked

test: tools ## everything that runs without special hardware
	cargo test $(selection)
	$(if $(CI),@tools/drop-test-programs)
	QUORATE_MODEL=bounded cargo test --profile sim --locked -p quorate-store -p quorate-planner --lib -- takeover::model filesystems::model
	cargo test --profile sim --locked -p quorate-sim
	$(MAKE) sim SEEDS=300
	$(MAKE) lab-smoke
	@tools/report-skipped

model: tools ## every order of events in an even split and among hosts that share a filesystem, the full set of searches (hours)
	QUORATE_MODEL=full cargo test --release --locked -p quorate-store -p quorate-planner --lib -- --nocapture --test-threads 1 takeover::model filesystems::model

verify: tools ## the read-only gate: format, lints, docs, generated files, licences
	cargo fmt --all --check
	tools/check-dependencies
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	cargo test $(selection) --test generated_is_current

fix: tools ## rewrite: format, simple lints, generated files
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	UPDATE_GENERATED=1 cargo test $(filter-out --locked,$(selection)) --test generated_is_current

SEEDS ?= 100
sim: tools ## SEEDS=n whole clusters on simulated time, one seed a process; a seed that fails says how to run it again
	cargo build --profile sim --locked -p quorate-sim
	$(or $(CARGO_TARGET_DIR),target)/sim/quorate-sim seeds --count $(SEEDS)

bench: tools ## the benchmarks, with the distribution's etcd beside us in the same run
	@tools/bench

include lab/lab.mk

packages: tools ## Debian packages into target/debian (installs cargo-deb when missing)
	@tools/packages

operator-image: tools ## the Kubernetes operator's image, an OCI archive in target (installs umoci when missing)
	@tools/operator-image

SECONDS_OF_UNREST ?= 600
kubernetes-test: tools ## the operator with a real kube-apiserver and etcd, all killed at random (builds those from Go modules first)
	cargo build --locked -p quorate-controller -p quorate-cli -p quorate-operator
	operator/tests/kube-apiserver/build $(or $(CARGO_TARGET_DIR),target)/kubernetes
	operator/tests/kube-apiserver/accept $(or $(CARGO_TARGET_DIR),target)/kubernetes $(or $(CARGO_TARGET_DIR),target)/debug $(SECONDS_OF_UNREST)
