#!/usr/bin/env bash
# Builds every test together with the tool, then makes the test kernel and images with it, once for each recipe.
set -euo pipefail
cd "$(dirname "$0")/.."

# The very artifacts that the tests use: building the tool alone would build most dependencies twice, because features
# are unified over what is built together.
printf 'guests: building the tool and all tests (the first time takes some minutes)\n'
cargo test --locked --workspace --no-run --quiet

# Without the history the tests of upgrades fail and say why; all others do not need it.
scripts/old-build.sh >/dev/null || printf 'guests: the tests of upgrades will fail\n' >&2

exec "${CARGO_TARGET_DIR:-target}/debug/prepare-guests"
