//! The help of every command, as the built program prints it at 80 columns.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const COLUMNS: usize = 80;

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
