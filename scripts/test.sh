#!/usr/bin/env bash
# Runs tests with cargo-nextest, or with plain `cargo test` where it is not installed.
#   scripts/test.sh --workspace [nextest's own words]
set -euo pipefail
cd "$(dirname "$0")/.."

profile=default
[ -z "${CI:-}" ] || profile=ci

if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --locked --no-tests=fail --profile "$profile" "$@"
fi

printf 'test: cargo-nextest is not installed; using cargo test, two tests at a time, without per-test deadlines\n'
printf 'test: (cargo install --locked cargo-nextest takes some minutes and gives both)\n'
[ "${2:-}" != -E ] || { printf 'test: picking tests needs cargo-nextest\n' >&2; exit 1; }
exec cargo test --locked "$@" -- --test-threads=2
