#!/usr/bin/env bash
# Puts the release binary on PATH, or takes it away again with --uninstall.
#
# As root: /usr/local/bin. Otherwise the first of ~/.local/bin and cargo's own bin folder that is on PATH, and
# ~/.local/bin with a word of advice when neither is. One file is all there is: the guest agent is inside it, and
# kernels and images live in the user's state folder, so nothing has to be told where its parts are.
# BANGER_INSTALL_DIR names another folder.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'install: %s\n' "$*"; }
on_path() { case ":$PATH:" in *":$1:"*) true ;; *) false ;; esac; }

folder() {
    if [ -n "${BANGER_INSTALL_DIR:-}" ]; then
        printf '%s\n' "$BANGER_INSTALL_DIR"
    elif [ "$(id -u)" -eq 0 ]; then
        printf '/usr/local/bin\n'
    else
        local candidate
        for candidate in "$HOME/.local/bin" "${CARGO_HOME:-$HOME/.cargo}/bin"; do
            if on_path "$candidate"; then
                printf '%s\n' "$candidate"
                return
            fi
        done
        printf '%s\n' "$HOME/.local/bin"
    fi
}

target=$(folder)/banger

# Manual pages stand beside the program: PREFIX/bin/banger, PREFIX/share/man/man1/banger*.1.
pages=$(dirname "$(dirname "$target")")/share/man/man1

if [ "${1:-}" = --uninstall ]; then
    rm -f -- "$pages"/banger.1 "$pages"/banger-*.1
    if [ -e "$target" ]; then
        rm -- "$target"
        say "removed $target; VMs, images and kernels stay in the state folder"
    else
        say "$target is not there; nothing to do"
    fi
    exit 0
fi

built=${CARGO_TARGET_DIR:-target}/release/banger
[ -x "$built" ] || { say "$built is not there; run 'make build' first" >&2; exit 1; }

mkdir -p "$(dirname "$target")"
if cmp --silent "$built" "$target"; then
    say "$target is up to date"
else
    # Beside and rename: a banger that is running keeps its own file.
    install -m 0755 "$built" "$target.new"
    mv -f "$target.new" "$target"
    say "installed $target"
fi
if "$target" internal man "$pages" 2>/dev/null; then
    say "installed manual pages in $pages"
else
    say "no manual pages: $pages cannot be written"
fi
if ! on_path "$(dirname "$target")"; then
    say "$(dirname "$target") is not on PATH yet; add it:  export PATH=\"$(dirname "$target"):\$PATH\""
fi
