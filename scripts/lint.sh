#!/usr/bin/env bash
# Formatting, lints as errors, and the licences and sources of what we depend on.
set -euo pipefail
cd "$(dirname "$0")/.."

printf 'lint: cargo fmt --check\n'
cargo fmt --all --check

printf 'lint: cargo clippy, warnings are errors\n'
cargo clippy --locked --workspace --all-targets -- -D warnings

printf 'lint: scripts\n'
for script in scripts/*.sh .ci/run; do
    bash -n "$script"
done
if command -v shellcheck >/dev/null; then
    shellcheck scripts/*.sh .ci/run
else
    printf 'lint: shellcheck is not installed: SKIPPED, only the syntax was checked\n'
fi

if cargo deny --version >/dev/null 2>&1; then
    printf 'lint: cargo deny: licences, bans, sources\n'
    cargo deny --offline --locked check licenses bans sources
else
    printf 'lint: cargo-deny is not installed: licences, bans and sources were SKIPPED (cargo install --locked cargo-deny)\n'
fi
