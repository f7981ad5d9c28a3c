//! The help of every command, as the built program prints it at 80 columns, is what is checked in under `tests/help`.
//!
//! After a wanted change: `UPDATE_HELP=1 cargo nextest run --workspace --test cli -E 'test(help)'`, and look at the
//! difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use similar::TextDiff;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help");
const COLUMNS: usize = 80;
const RENEW: &str =
    "UPDATE_HELP=1 cargo nextest run --workspace --test cli -E 'test(help)' renews them";

fn printed(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_banger"))
        .args(words)
        .env_clear()
        .env("HOME", "/")
        .env("COLUMNS", COLUMNS.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of all commands that users see, of those that only hold others as well.
fn every_command() -> BTreeSet<String> {
    let schema: serde_json::Value = serde_json::from_str(&printed(&["schema"])).unwrap();
    let mut all = BTreeSet::from([String::new()]);
    for command in schema["commands"].as_array().unwrap() {
        let words: Vec<_> = command["name"].as_str().unwrap().split(' ').collect();
        let words = words.strip_prefix(&["banger"]).unwrap_or(&words);
        all.extend((1..=words.len()).map(|n| words[..n].join(" ")));
    }
    all
}

/// Each command's page by the name of its file.
fn pages() -> BTreeMap<String, String> {
    let page = |command: String| {
        let words: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let text: Vec<_> = printed(&words)
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        let name = format!("banger {command}").trim().replace(' ', "-");
        (format!("{name}.txt"), text.join("\n") + "\n")
    };
    every_command().into_iter().map(page).collect()
}

fn checked_in() -> BTreeMap<String, String> {
    let files = fs::read_dir(FOLDER).into_iter().flatten();
    let read = |file: std::io::Result<fs::DirEntry>| {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        (name, fs::read_to_string(file.path()).unwrap())
    };
    files.map(read).collect()
}

fn renew(pages: &BTreeMap<String, String>) {
    fs::create_dir_all(FOLDER).unwrap();
    for (name, text) in pages {
        fs::write(Path::new(FOLDER).join(name), text).unwrap();
    }
    for name in checked_in()
        .keys()
        .filter(|name| !pages.contains_key(*name))
    {
        fs::remove_file(Path::new(FOLDER).join(name)).unwrap();
    }
}

#[test]
fn the_help_of_every_command_is_the_one_that_is_checked_in() {
    let pages = pages();
    if std::env::var_os("UPDATE_HELP").is_some() {
        renew(&pages);
    }
    let checked_in = checked_in();
    let names: BTreeSet<_> = pages.keys().chain(checked_in.keys()).collect();
    let empty = String::new();
    let mut differences = String::new();
    for name in names {
        let was = checked_in.get(name).unwrap_or(&empty);
        let is = pages.get(name).unwrap_or(&empty);
        if was != is {
            let diff = TextDiff::from_lines(was, is);
            let mut diff = diff.unified_diff();
            let diff = diff.header(&format!("tests/help/{name}"), "as it is printed now");
            differences.push_str(&diff.to_string());
        }
    }
    assert!(differences.is_empty(), "\n{differences}\n{RENEW}");
}

#[test]
fn no_page_of_help_is_wider_than_80_columns_or_without_an_example() {
    let pages = pages();
    assert!(pages.len() > 60, "only {} pages", pages.len());
    for (name, text) in pages {
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS, "{name}: {line:?}");
        }
        assert!(text.contains("\nExamples:\n  "), "{name}");
    }
}
