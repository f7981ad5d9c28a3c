//! Judgement of e2fsprogs on an image: an implementation independent of this crate.

use std::path::Path;
use std::process::Command;

/// Asserts that `e2fsck -fn` reports nothing.
pub fn assert_clean(image: &Path) {
    let checked = Command::new("/sbin/e2fsck")
        .arg("-fn")
        .arg(image)
        .output()
        .expect("e2fsck is installed");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "e2fsck found:\n{said}");
    // Five passes and a summary; anything else is a complaint that was not fixed.
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("Pass ") && !line.contains(" files ("))
        .filter(|line| !line.trim().is_empty())
        .collect();
    assert!(complaints.is_empty(), "e2fsck said: {complaints:?}");
}

/// Answer of debugfs to `request`.
#[allow(dead_code)] // each test file is its own crate
pub fn debugfs(image: &Path, request: &str) -> String {
    let answer = Command::new("/sbin/debugfs")
        .arg("-R")
        .arg(request)
        .arg(image)
        .output()
        .expect("debugfs is installed");
    String::from_utf8_lossy(&answer.stdout).into_owned()
}
