# The machine room (docs/lab.md). Needs root and QEMU; says so where they are missing.
.PHONY: lab lab-smoke lab-test lab-clean lab-tools lab-root

# What a room needs of this machine. It is asked for before anything is compiled.
lab_packages := qemu-system-x86 mmdebstrap erofs-utils openipmi ipmitool iproute2 e2fsprogs
lab-test: lab_packages += fence-agents snmp
lab-root:
	@if [ "$$(id -u)" -ne 0 ]; then echo "error: a room makes network namespaces and TAP devices: run this as root, with sudo for instance" >&2; exit 1; fi
lab-tools: lab-root tools
	tools/ensure-tools $(lab_packages)

lab: lab-tools ## a cluster of three real hosts in QEMU until Ctrl-C; PACKAGES=DIR takes built packages, PACKAGES= none
	cargo build --locked -p quorate-lab --bins
	$(if $(filter undefined,$(origin PACKAGES)),tools/packages)
	target=$$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'); \
	packages="$(if $(filter undefined,$(origin PACKAGES)),$$target/debian,$(PACKAGES))"; \
	exec "$$target/debug/quorate-lab" up $${packages:+--packages "$$packages" --file lab/anvil/room.yaml --apply deploy/examples/anvil --apply lab/anvil/20-secrets.yaml}

lab-test: lab-tools ## put the room on trial; QUICK=1 the quick set, REPEAT=10 ten rounds that resume, PACKAGES=DIR takes built packages
	cargo build --locked -p quorate-node-daemon --bins --examples
	$(if $(filter 1,$(QUICK)),,$(if $(filter undefined,$(origin PACKAGES)),PROFILE=sim tools/packages))
	$(if $(PACKAGES),QUORATE_LAB_PACKAGES="$(abspath $(PACKAGES))") QUORATE_LAB=1 QUICK=$(QUICK) REPEAT=$(or $(REPEAT),1) cargo test --locked -p quorate-lab --test room

lab-smoke: ## three stories of the lab where root and QEMU are there; elsewhere it says that they were skipped
	QUORATE_LAB=1 SMOKE=1 cargo test $(selection) --test room

lab-clean: ## remove the lab's cache, and what killed rooms have left behind
	cargo run --locked -q -p quorate-lab --bin quorate-lab -- clean --cache
