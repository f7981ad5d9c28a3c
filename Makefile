# What one can ask for here. Bare `make` lists the targets; each says what it does before it does it.

.DEFAULT_GOAL := help
.PHONY: help dist docker-scenario fuzz chaos harbor-trial sandbox build install uninstall test unit smoke lint fmt bench guests host-packages clean-host

CARGO ?= cargo
NEXTEST_PROFILE ?= $(if $(CI),ci,default)

help: ## List the targets
	@echo "banger: one command boots a real Linux VM. Targets:"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

sandbox: ## Set up this machine from nothing and boot a first VM (safe to repeat)
	@scripts/sandbox.sh

build: ## Build the release binary, with the guest agent inside it
	@scripts/host-packages.sh build
	$(CARGO) build --release --locked --bin banger

dist: build ## Make the packages that users install, a .deb and a tarball, in dist/
	@scripts/dist.sh

install: build ## Build, and put banger on PATH (/usr/local/bin as root, else ~/.local/bin or ~/.cargo/bin)
	@scripts/install.sh

uninstall: ## Take the installed banger away again; VMs and images stay
	@scripts/install.sh --uninstall

test: guests ## Everything: unit tests, then the smoke scenarios against real guests
	@scripts/test.sh --workspace

unit: ## Unit and crate tests only; no guest is booted
	@scripts/host-packages.sh build tests
	@scripts/test.sh --workspace --exclude banger-smoke

smoke: guests ## The scenarios against real guests only (FILTER=word picks some)
	@scripts/test.sh --workspace -E 'package(banger-smoke) and test(/$(FILTER)/)'

docker-scenario: guests ## Docker, podman and buildah in one real guest; builds an image from Debian's archive, some 7 minutes without KVM
	@scripts/test.sh --workspace --run-ignored only --no-capture -E 'test(containers_of_docker_and_podman)'

harbor-trial: guests ## Harbor and the Agents SDK themselves, in real guests; pip fetches them (HARBOR_TRIALS=6, HARBOR_AT_ONCE=3)
	@scripts/harbor-trial.sh

guests: ## Build the test kernel and images once; quick when they are there
	@scripts/host-packages.sh build run tests
	@scripts/guests.sh

lint: ## Formatting, clippy with warnings as errors, licences and sources of dependencies
	@scripts/lint.sh

fmt: ## Format every crate
	$(CARGO) fmt --all

fuzz: ## Fuzz every parser of outside bytes (SECONDS_EACH=60, TARGETS="superblock config" picks some)
	@scripts/fuzz.sh

chaos: guests ## Kill the daemon at random moments for long (CHAOS_ROUNDS=500, CHAOS_SEED=1)
	CHAOS_ROUNDS=$(or $(CHAOS_ROUNDS),500) scripts/test.sh --workspace --no-capture -E 'test(a_daemon_killed_at_random_moments)'

bench: ## Start-up, list and exec times, SSH, repositories, disks and container layers, each beside the usual way in the same run
	@scripts/host-packages.sh build run tests
	$(CARGO) build --release --locked --bin banger
	BANGER_BIN=$(CURDIR)/target/release/banger $(CARGO) bench --locked -p banger-smoke --bench start --bench ssh --bench network --bench workspace
	$(CARGO) bench --locked -p banger-engine --bench jail
	$(CARGO) bench --locked -p banger-disk
	$(CARGO) bench --locked -p banger-oci --bench layers

host-packages: ## Install the Debian packages that building, running and testing need
	@scripts/host-packages.sh build run tests

clean-host: ## List what tests may have left on this host, and end it (never your own VMs)
	@scripts/leftovers.sh --sweep
