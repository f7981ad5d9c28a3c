#!/usr/bin/env bash
# Builds banger as it was at an old commit, once, from this repository's own history: the upgrade tests make a state
# folder with it and then carry on with today's build.
#
#   scripts/old-build.sh             build what is missing; prints the path of the program
#   scripts/old-build.sh --path      only print where it is or will be
#
# The program stays in the folder of the tests, builds/COMMIT/banger. All that is needed to make it is removed again.
set -euo pipefail
cd "$(dirname "$0")/.."

commit=17532d3967cc8a90d2779960c3cf876597181fbd
root=${BANGER_TEST_DIR:-/var/tmp/banger-test-$(id -u)}
place=$root/builds/${commit:0:7}
program=$place/banger

if [ "${1:-}" = --path ]; then
    printf '%s\n' "$program"
    exit 0
fi

say() { printf 'old-build: %s\n' "$*" >&2; }

mkdir -p "$place"
exec 9>"$root/builds/lock"
flock 9
if [ -x "$program" ]; then
    printf '%s\n' "$program"
    exit 0
fi

if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    if [ "$(git rev-parse --is-shallow-repository 2>/dev/null)" = true ]; then
        why="this clone is shallow: git fetch --unshallow"
    else
        why="this is no clone of the repository, or its history was cut"
    fi
    say "commit $commit is not here, and the upgrade tests need it; $why"
    # The tests that need it say the same.
    printf '%s\n' "$why" >"$place/missing"
    exit 1
fi
rm -f "$place/missing"

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
mkdir -p "$target"
# Beside the other artifacts, so that what was built of registries is linked and not built again.
work=$(mktemp -d "$target/old-build-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/source" "$work/target/debug"
git archive "$commit" | tar -x -C "$work/source"
for part in deps build .fingerprint; do
    [ ! -d "$target/debug/$part" ] || cp -al "$target/debug/$part" "$work/target/debug/$part" 2>/dev/null || true
done

say "building banger of ${commit:0:7} (once; some minutes)"
began=$SECONDS
# The tests' features are unified over the whole workspace: the same choice here finds the dependencies built.
(cd "$work/source" && CARGO_TARGET_DIR=$work/target cargo build --locked --quiet --workspace --bins)
cp "$work/target/debug/banger" "$place/.banger.new"
mv "$place/.banger.new" "$program"
say "built in $((SECONDS - began)) s: $program"
printf '%s\n' "$program"
