//! A root file system of three megabytes, made from the host's own shell and a few programs: enough for a simple shell.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_smoke::find_on_path;

/// Programs that the scenarios run in it.
const PROGRAMS: [&str; 8] = ["sh", "cat", "df", "stat", "ls", "touch", "tail", "true"];

/// Fills `folder` with a shell, programs, the libraries that they need, and an `/etc` of three files.
pub fn make(folder: &Path) -> io::Result<()> {
    for name in [
        "bin", "etc", "proc", "sys", "dev", "run", "tmp", "root", "var", "usr",
    ] {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::write(folder.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(folder.join("etc/group"), "root:x:0:\n")?;
    fs::write(folder.join("etc/os-release"), "ID=tiny\nNAME=\"Tiny\"\n")?;
    for name in PROGRAMS {
        let program = find_on_path(name)
            .ok_or_else(|| io::Error::other(format!("no {name} on this host")))?;
        let program = fs::canonicalize(program)?;
        fs::copy(&program, folder.join("bin").join(name))?;
        for library in libraries_of(&program)? {
            let inside = folder.join(library.strip_prefix("/").unwrap_or(&library));
            if let Some(parent) = inside.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::copy(&library, inside)?;
        }
    }
    Ok(())
}

/// The absolute paths that ldd(1) prints, the loader included.
fn libraries_of(program: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    Ok(text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}
