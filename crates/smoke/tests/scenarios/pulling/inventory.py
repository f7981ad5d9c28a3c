"""Prints what is below a folder, one entry a line, so that two trees can be compared: inventory.py FOLDER."""
import hashlib
import os
import stat
import sys

KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char",
    stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket",
}


def escaped(raw):
    return raw.decode("latin-1").encode("unicode_escape").decode()


def contents(path):
    digest = hashlib.sha1()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def entries(root):
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            yield os.path.join(folder, name)


root = os.fsencode(sys.argv[1]).rstrip(b"/")
first_name = {}
hashes = {}
for path in sorted(entries(root)):
    name = path[len(root) + 1:]
    if name.split(b"/")[0] == b"lost+found":
        continue
    found = os.lstat(path)
    kind = KINDS[stat.S_IFMT(found.st_mode)]
    inode = (found.st_dev, found.st_ino)
    words = [escaped(name), kind, oct(stat.S_IMODE(found.st_mode)), found.st_uid, found.st_gid]
    # The times of folders are those of unpacking where no layer has an entry of theirs.
    if kind != "folder":
        words += [int(found.st_mtime), found.st_nlink, escaped(first_name.setdefault(inode, name))]
    if kind in ("char", "block"):
        words += [os.major(found.st_rdev), os.minor(found.st_rdev)]
    if kind == "symlink":
        words.append(escaped(os.readlink(path)))
    else:
        for key in sorted(os.listxattr(path)):
            words.append(key + "=" + escaped(os.getxattr(path, key)))
    if kind == "file":
        if inode not in hashes:
            hashes[inode] = contents(path)
        words += [found.st_size, hashes[inode]]
    print(*words)
