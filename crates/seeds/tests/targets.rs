//! Every fuzz target, on its stored inputs and their damages.
#![allow(
    unused_attributes,
    reason = "the targets are programs of their own, with attributes that modules have not"
)]

// The targets name the fuzzer's macro by its crate: here that is this one, with a macro that makes a function of each.
extern crate self as libfuzzer_sys;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use banger_seeds::{fuzz_folder, replay, stored};

/// For each target.
const WITHIN: Duration = Duration::from_secs(1);

/// The function that a target is.
#[macro_export]
macro_rules! fuzz_target {
    (|$bytes:ident: &[u8]| $body:expr) => {
        pub fn target($bytes: &[u8]) {
            $body
        }
    };
    (|$text:ident: &str| $body:expr) => {
        pub fn target(bytes: &[u8]) {
            if let Ok($text) = std::str::from_utf8(bytes) {
                $body
            }
        }
    };
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];

        mod replayed {
            use super::*;

            $(
                #[test]
                fn $name() {
                    let inputs = stored(stringify!($name)).unwrap();
                    assert!(!inputs.is_empty(), "no input is stored");
                    replay(&inputs, WITHIN, $name::target);
                }
            )*
        }
    };
}

targets!(
    authorities,
    config,
    console,
    devcontainer,
    egress_policy,
    git_index,
    guest_archive,
    guest_frames,
    guest_handshake,
    image_documents,
    image_layers,
    image_reference,
    kernel_image,
    kernel_import,
    module_index,
    net_frames,
    net_dns,
    net_first_bytes,
    net_http,
    own_image,
    registry_challenge,
    returned_files,
    rootfs_archive,
    sent_manifest,
    sftp_requests,
    superblock,
    tool_pins,
    workspace_patch,
);

#[path = "../../../fuzz/targets/authorities.rs"]
mod authorities;
#[path = "../../../fuzz/targets/config.rs"]
mod config;
#[path = "../../../fuzz/targets/console.rs"]
mod console;
#[path = "../../../fuzz/targets/devcontainer.rs"]
mod devcontainer;
#[path = "../../../fuzz/targets/egress_policy.rs"]
mod egress_policy;
#[path = "../../../fuzz/targets/git_index.rs"]
mod git_index;
#[path = "../../../fuzz/targets/guest_archive.rs"]
mod guest_archive;
#[path = "../../../fuzz/targets/guest_frames.rs"]
mod guest_frames;
#[path = "../../../fuzz/targets/guest_handshake.rs"]
mod guest_handshake;
#[path = "../../../fuzz/targets/image_documents.rs"]
mod image_documents;
#[path = "../../../fuzz/targets/image_layers.rs"]
mod image_layers;
#[path = "../../../fuzz/targets/image_reference.rs"]
mod image_reference;
#[path = "../../../fuzz/targets/kernel_image.rs"]
mod kernel_image;
#[path = "../../../fuzz/targets/kernel_import.rs"]
mod kernel_import;
#[path = "../../../fuzz/targets/module_index.rs"]
mod module_index;
#[path = "../../../fuzz/targets/net_dns.rs"]
mod net_dns;
#[path = "../../../fuzz/targets/net_first_bytes.rs"]
mod net_first_bytes;
#[path = "../../../fuzz/targets/net_frames.rs"]
mod net_frames;
#[path = "../../../fuzz/targets/net_http.rs"]
mod net_http;
#[path = "../../../fuzz/targets/own_image.rs"]
mod own_image;
#[path = "../../../fuzz/targets/registry_challenge.rs"]
mod registry_challenge;
#[path = "../../../fuzz/targets/returned_files.rs"]
mod returned_files;
#[path = "../../../fuzz/targets/rootfs_archive.rs"]
mod rootfs_archive;
#[path = "../../../fuzz/targets/sent_manifest.rs"]
mod sent_manifest;
#[path = "../../../fuzz/targets/sftp_requests.rs"]
mod sftp_requests;
#[path = "../../../fuzz/targets/superblock.rs"]
mod superblock;
#[path = "../../../fuzz/targets/tool_pins.rs"]
mod tool_pins;
#[path = "../../../fuzz/targets/workspace_patch.rs"]
mod workspace_patch;

#[test]
fn no_target_is_forgotten() {
    let targets = fs::read_dir(fuzz_folder().join("targets")).unwrap();
    let names: BTreeSet<_> = targets
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let replayed: BTreeSet<_> = TARGETS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(names, replayed);
}
