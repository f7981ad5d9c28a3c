#!/usr/bin/env bash
# From a fresh machine with Rust, git and make to a first VM: packages, build, install, kernel and image, one command
# in a guest. Every step looks first and does nothing when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n==> %s\n' "$*"; }

step "host packages"
scripts/host-packages.sh build run

step "build banger (the first time takes some minutes)"
cargo build --release --locked --bin banger

step "install"
scripts/install.sh

banger=${CARGO_TARGET_DIR:-target}/release/banger

step "kernel and image: the first VM makes what is missing"
printf '+ banger vm run --rm --net none -- uname -a\n'
"$banger" vm run --rm --net none -- uname -a

step "ready"
printf 'Try:  banger vm run --rm\n'
