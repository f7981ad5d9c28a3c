//! A repository's `devcontainer.json`: what is made of it is small, and knows nothing of the host that nobody named.
#![no_main]
use std::collections::{BTreeMap, BTreeSet};

use banger_workspace::devcontainer::{Devcontainer, Host};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Devcontainer::parse(bytes) else {
        return;
    };
    let host = Host {
        folder: "folder",
        guest_folder: "/root/folder",
        variable: &|name| panic!("{name} was asked for, and nobody had named it"),
        named: &BTreeSet::new(),
    };
    let Ok(resolved) = file.resolve(&host) else {
        return;
    };
    for (_, commands) in &resolved.commands {
        assert!(!commands.argv().is_empty());
    }
    let guest: BTreeMap<_, _> = resolved
        .asks_guest()
        .into_iter()
        .map(|name| (name, "x".repeat(1000)))
        .collect();
    let told = resolved.told(&guest).unwrap_or_default();
    for (name, value) in resolved.env.iter().chain(&told) {
        assert!(!name.contains(['=', '\0']) && !value.contains('\0'));
    }
});
