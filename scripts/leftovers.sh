#!/usr/bin/env bash
# What tests have left on this host, or should have.
#
#   scripts/leftovers.sh --check          list what is left of test runs; fail when there is anything
#   scripts/leftovers.sh --sweep          list it, then end and remove it
#   scripts/leftovers.sh --processes      all banger and VMM processes of this host, one a line, sorted
#
# Only what belongs to the folder of the tests counts: a user's own VMs are never listed as left, and never touched.
# Prepared guests (g-…, o-…) and old builds (builds/) in that folder are a cache and stay; sandboxes (s-…) are what a scenario should have removed.
set -euo pipefail

cd "$(dirname "$0")/.."
root=${BANGER_TEST_DIR:-/var/tmp/banger-test-$(id -u)}

# Processes that work in a sandbox of the tests, or name one on their command line or in their environment.
# A process may end while one looks at it: what cannot be read is not there.
test_processes() {
    local proc
    for proc in /proc/[0-9]*; do
        if { tr '\0' '\n' <"$proc/cmdline" | grep -qF "$root/"; } 2>/dev/null \
            || { tr '\0' '\n' <"$proc/environ" | grep -qF "=$root/"; } 2>/dev/null \
            || [[ $(readlink "$proc/cwd" 2>/dev/null) == "$root"/* ]]; then
            printf '%s %s\n' "${proc#/proc/}" "$({ tr '\0' ' ' <"$proc/cmdline" | cut -c1-160; } 2>/dev/null)"
        fi
    done
}

test_mounts() { awk -v root="$root/" 'index($2, root) == 1 { print $2 }' /proc/self/mounts; }

test_sandboxes() { find "$root" -mindepth 1 -maxdepth 1 -name 's-*' 2>/dev/null || true; }

# What image building may forget in the temporary folders, and a build of an old commit that was killed in the target's.
stray_files() {
    find "${CARGO_TARGET_DIR:-target}" -mindepth 1 -maxdepth 1 -name 'old-build-*' 2>/dev/null || true
    find /tmp /var/tmp -mindepth 1 -maxdepth 1 \( -name 'mmdebstrap.*' -o -name 'banger-image*' \) -user "$(id -un)" 2>/dev/null || true
}

all_processes() {
    local proc name
    for proc in /proc/[0-9]*; do
        name=$(readlink "$proc/exe" 2>/dev/null || true)
        case ${name##*/} in
            banger | 'banger (deleted)' | qemu-system-*) printf '%s %s\n' "${proc#/proc/}" "${name##*/}" ;;
        esac
    done | sort
}

report() {
    local found=0 what lines
    for what in processes mounts sandboxes; do
        lines=$("test_$what")
        if [ -n "$lines" ]; then
            found=1
            printf 'left behind: %s\n' "$what"
            sed 's/^/  /' <<<"$lines"
        fi
    done
    lines=$(stray_files)
    if [ -n "$lines" ]; then
        found=1
        printf 'left behind: temporary files\n'
        sed 's/^/  /' <<<"$lines"
    fi
    [ $found -eq 1 ] || printf 'leftovers: nothing of any test is left on this host\n'
    return $found
}

sweep() {
    local pid place folder
    test_processes | while read -r pid _; do
        # One at a terminal is somebody looking around in a sandbox: leave it alone.
        [ "$(ps -o tty= -p "$pid" 2>/dev/null)" = '?' ] || continue
        kill -KILL "$pid" 2>/dev/null || true
    done
    test_mounts | sort -r | while read -r place; do
        umount --lazy "$place"
    done
    test_sandboxes | while read -r folder; do
        rm -rf --one-file-system -- "$folder"
    done
    printf 'leftovers: swept; temporary files of image builds are only listed, remove them by hand\n'
}

case ${1:-} in
    --check) report ;;
    --sweep) report || sweep ;;
    --processes) all_processes ;;
    *) sed -n '2,9p' "$0" >&2; exit 2 ;;
esac
