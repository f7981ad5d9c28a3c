#!/usr/bin/env bash
# Installs the Debian packages that banger needs, and says which and why.
#
#   scripts/host-packages.sh [build] [run] [tests]      (no word: build and run)
#
# Asks dpkg first: when everything is there, it changes nothing, asks for nothing and needs no root.
# Otherwise it calls apt-get, as root or through a sudo that asks no password, and with neither it prints the one
# command to run. On a host without apt-get it looks for the programs themselves and names what is missing.
set -euo pipefail

say() { printf 'host-packages: %s\n' "$*"; }
fail() { printf 'host-packages: %s\n' "$*" >&2; exit 1; }

# group  package  a program or file that it brings  why
table() {
    cat <<'ROWS'
build  gcc             cc                         links Rust programs; compiles the SQLite, zstd and xz parts
build  libc6-dev       /usr/include/stdio.h       C library headers, and libc.a for the static guest agent
build  make            make                       runs the targets of the Makefile
run    qemu-system-x86 qemu-system-x86_64         the virtual machine monitor
run    mmdebstrap      mmdebstrap                 builds the Debian images
run    uidmap          newuidmap                  lets an ordinary user build them
run    openssh-client  ssh                        banger vm ssh
run    git             git                        workspaces
tests  e2fsprogs       e2fsck                     the tests check every disk image with e2fsck
tests  util-linux      setpriv                    runs scenarios as another user, with a terminal of their own
tests  docker-registry docker-registry            the registry that images are pulled from
tests  skopeo          skopeo                     pushes images to it
tests  umoci           umoci                      makes images, and unpacks them for comparison
tests  busybox-static  busybox                    programs without libraries, for images of one program
tests  openssl         openssl                    certificates of a registry of the tests
tests  musl-tools      musl-gcc                   programs of the image that is shaped like Alpine
tests  rsync           rsync                      a client of the SSH scenarios
tests  procps          ps                         looks for processes left behind
tests  python3         python3                    runs the tests of the Python package
ROWS
}

groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(build run)
for group in "${groups[@]}"; do
    case $group in build | run | tests) ;; *) fail "unknown group '$group'; the groups are build, run, tests" ;; esac
done

wanted() { table | awk -v groups=" ${groups[*]} " 'index(groups, " " $1 " ")'; }

# /sbin and /usr/sbin are not on an ordinary user's PATH in Debian; e2fsck lives there.
PATH="$PATH:/usr/sbin:/sbin"

without_apt() {
    local missing=0 package brings why
    while read -r _ package brings why; do
        case $brings in
            /*) [ -e "$brings" ] && continue ;;
            *) command -v "$brings" >/dev/null && continue ;;
        esac
        say "missing: $brings (Debian calls the package $package): $why" >&2
        missing=1
    done < <(wanted)
    [ $missing -eq 0 ] || fail "this host has no apt-get; install the programs above with its own package manager, then run this again"
    say "no apt-get here, but every program is there: ${groups[*]}"
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    without_apt
    exit 0
fi

missing=()
while read -r _ package _ why; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    if [ "$state" != installed ]; then
        say "missing: $package: $why"
        missing+=("$package")
    fi
done < <(wanted)

# The default kernel and the images come from the archive by apt, which needs its package lists.
lists=present
case " ${groups[*]} " in
    *" run "*) [ -n "$(apt-cache show --no-all-versions linux-image-cloud-amd64 2>/dev/null)" ] || lists=absent ;;
esac

if [ ${#missing[@]} -eq 0 ] && [ $lists = present ]; then
    say "nothing to install for: ${groups[*]}"
    exit 0
fi
[ $lists = present ] || say "apt has no package lists; they are needed to fetch the guest kernel"

if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    say "this user may not install packages. Run as root, then start again:" >&2
    printf '  apt-get update && apt-get install --yes --no-install-recommends %s\n' "${missing[*]}" >&2
    exit 1
fi

# Another apt may hold the lock on a machine that has just booted: wait for it rather than fail.
apt() { ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 --quiet=2 "$@" </dev/null; }

say "running: apt-get update"
apt update
if [ ${#missing[@]} -gt 0 ]; then
    say "running: apt-get install --no-install-recommends ${missing[*]}"
    # dpkg's line for each file says nothing that the list above does not; its errors are shown.
    apt install --yes --no-install-recommends "${missing[@]}" >/dev/null
fi
say "done: ${groups[*]}"
