"""Makes a folder with every kind of entry, and a layer that changes it: every_kind.py FOLDER LAYER.tar (as root)."""
import io
import os
import stat
import struct
import sys
import tarfile

root, layer = os.fsencode(sys.argv[1]) + b"/every-kind", sys.argv[2]
NOW = 1700000000


def path(name):
    full = os.path.join(root, name)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    return full


def write(name, data=b"", mode=0o644):
    with open(path(name), "wb") as file:
        file.write(data)
    os.chmod(path(name), mode)


write(b"plain", b"plain\n")
write(b"empty")
write(b"setuid", b"#!/bin/sh\n", 0o4755)
write(b"setgid", b"#!/bin/sh\n", 0o2755)
os.mkdir(path(b"sticky"))
os.chmod(path(b"sticky"), 0o1777)
write(b"owned", b"by a big number")
os.chown(path(b"owned"), 1234567, 2345678)
os.mknod(path(b"null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
os.mknod(path(b"block"), stat.S_IFBLK | 0o600, os.makedev(259, 4097))
os.mkfifo(path(b"fifo"))
os.symlink(b"plain", path(b"link"))
os.symlink(b"x" * 59, path(b"dangling-59"))
os.symlink(b"y" * 200, path(b"dangling-200"))
os.symlink(b"../../../../etc/passwd", path(b"out"))
os.link(path(b"plain"), path(b"folder/hard"))
write(b"n" * 255, b"long")
write(b"/".join([b"deep-folder-name-%02d" % n for n in range(40)]) + b"/end", b"deep")
write(b"\xff\xfe-no-utf8", b"bytes")
write(b"new\nline and\ttab", b"odd")
write("ümläut".encode(), b"utf-8")
write(b"attributes", b"x")
os.setxattr(path(b"attributes"), b"user.note", b"line\nand\0zero=1")
os.setxattr(path(b"attributes"), b"trusted.note", b"t")
write(b"capable", b"#!/bin/sh\n", 0o755)
# vfs_cap_data, version 2, effective, with a 0x0A byte: CAP_DAC_OVERRIDE and CAP_FOWNER.
os.setxattr(path(b"capable"), b"security.capability", struct.pack("<5I", 0x02000001, 0x0A, 0, 0, 0))
with open(path(b"sparse"), "wb") as file:
    file.seek(5 << 20)
    file.write(b"middle")
    file.truncate(64 << 20)
for n in range(1500):
    write(b"crowd/%04d-%s" % (n, b"z" * (n % 200)), b"%d" % n)
for name in (b"gone", b"opaque/a", b"opaque/b/c", b"file-to-folder", b"folder-to-file/x", b"folder/changed"):
    write(name, b"below")
for folder, folders, files in os.walk(root, topdown=False):
    for name in folders + files:
        os.utime(os.path.join(folder, name), (NOW, NOW), follow_symlinks=False)

with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
    def add(name, data=None, kind=tarfile.REGTYPE, link=""):
        entry = tarfile.TarInfo("every-kind/" + name)
        entry.mtime, entry.type, entry.linkname = NOW + 1, kind, link
        entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o640
        entry.size = len(data or b"")
        tar.addfile(entry, io.BytesIO(data or b""))
    add(".wh.gone")
    # Whiteouts hide what is below, wherever they stand in their layer.
    add("opaque", kind=tarfile.DIRTYPE)
    add("opaque/new", b"above")
    add("opaque/.wh..wh..opq")
    add("file-to-folder", kind=tarfile.DIRTYPE)
    add("file-to-folder/inside", b"above")
    add("folder-to-file", b"a file now")
    add("folder/changed", b"above")
    add("linked-from-above", kind=tarfile.LNKTYPE, link="every-kind/plain")
