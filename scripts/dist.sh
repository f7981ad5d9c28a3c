#!/usr/bin/env bash
# Makes the packages that users install, in dist/: a Debian package and a tarball, with the program, its manual pages,
# completions, the daemon's user unit, changelog and licences.
#
# The same program gives the same bytes: names are sorted, owners are root, and every time is that of the commit
# (SOURCE_DATE_EPOCH, as reproducible-builds.org has it). BANGER_BIN names another program than the release build,
# DIST_DIR another folder than dist; PACK=none packs nothing small, for tests.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'dist: %s\n' "$*"; }
fail() { printf 'dist: %s\n' "$*" >&2; exit 1; }

bin=${BANGER_BIN:-${CARGO_TARGET_DIR:-target}/release/banger}
out=${DIST_DIR:-dist}
pack=${PACK:-xz}
level=$([ "$pack" = none ] && echo 1 || echo 9)
[ -x "$bin" ] || fail "$bin is not there; run 'make dist', or name a program with BANGER_BIN"
command -v dpkg-deb >/dev/null || fail "dpkg-deb is missing (Debian calls the package dpkg)"

version=$(awk -F'"' '/^version = /{ print $2; exit }' Cargo.toml)
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || SOURCE_DATE_EPOCH=0
fi
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# Everything below one prefix, as both packages have it.
fill() {
    local prefix=$1 page
    install -Dm 0755 "$bin" "$prefix/bin/banger"
    "$bin" internal man "$work/man" >/dev/null
    for page in "$work"/man/*.1; do
        mkdir -p "$prefix/share/man/man1"
        gzip -9n <"$page" >"$prefix/share/man/man1/$(basename "$page").gz"
    done
    mkdir -p "$prefix/share/bash-completion/completions" "$prefix/share/zsh/vendor-completions" \
        "$prefix/share/fish/vendor_completions.d"
    "$bin" completion bash >"$prefix/share/bash-completion/completions/banger"
    "$bin" completion zsh >"$prefix/share/zsh/vendor-completions/_banger"
    "$bin" completion fish >"$prefix/share/fish/vendor_completions.d/banger.fish"
    mkdir -p "$prefix/share/doc/banger"
    gzip -9n <CHANGELOG.md >"$prefix/share/doc/banger/changelog.gz"
    install -m 0644 README.md docs/guide.md docs/security.md "$prefix/share/doc/banger/"
    {
        printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
        printf 'Upstream-Name: banger\n\nFiles: *\nCopyright: the authors of banger\nLicense: MIT or Apache-2.0\n\n'
        printf 'License: MIT\n'; sed 's/^$/./; s/^/ /' LICENSE-MIT
        printf '\nLicense: Apache-2.0\n'; sed 's/^$/./; s/^/ /' LICENSE-APACHE
    } >"$prefix/share/doc/banger/copyright"
}

deb() {
    fill "$root/usr"
    mkdir -p "$root/usr/lib/systemd/user" "$root/DEBIAN"
    # Nobody enables it by installing a package: banger system install does, or systemctl --user enable banger.
    "$bin" internal unit /usr/bin/banger >"$root/usr/lib/systemd/user/banger.service"
    local size
    size=$(du -sk --apparent-size "$root/usr" | cut -f1)
    cat >"$root/DEBIAN/control" <<CONTROL
Package: banger
Version: $version
Architecture: amd64
Maintainer: the authors of banger <banger@example.invalid>
Installed-Size: $size
Depends: libc6 (>= 2.34), qemu-system-x86 (>= 1:6.2)
Recommends: git, mmdebstrap, openssh-client, uidmap
Section: admin
Priority: optional
Description: private Linux machines with one command
 banger boots microVMs as an ordinary user, with KVM or without it: a root shell or the exit code of a command in a
 kernel of your own, with a disk that stays, SSH, file copies, published ports and rules for what the VM reaches.
CONTROL
    (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    find "$root" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
    # dpkg-deb takes the times of the archive from SOURCE_DATE_EPOCH, and sorts the names itself.
    dpkg-deb --root-owner-group "-Z$pack" --build "$root" "$out/banger_${version}_amd64.deb" >/dev/null
}

tarball() {
    local name=banger-$version-x86_64-linux
    mkdir -p "$work/$name"
    cp -a "$root/usr/bin" "$root/usr/share" "$work/$name/"
    mkdir -p "$work/$name/lib/systemd/user"
    cp -a "$root/usr/lib/systemd/user/banger.service" "$work/$name/lib/systemd/user/"
    install -m 0644 LICENSE-MIT LICENSE-APACHE "$work/$name/"
    tar --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        -C "$work" -c "$name" | gzip "-${level}n" >"$out/$name.tar.gz"
}

mkdir -p "$out"
deb
tarball
(cd "$out" && sha256sum "banger_${version}_amd64.deb" "banger-$version-x86_64-linux.tar.gz" >SHA256SUMS)
say "made in $out:"
sed 's/^/  /' "$out/SHA256SUMS"
