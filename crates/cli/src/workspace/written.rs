//! Words on an export beside the patch, and the file that the patch is written to.

use std::io::Write as _;
use std::path::Path;

use banger_api::ApiError;
use banger_api::vm::Vm;
use banger_guest::files::LeftKind;
use banger_workspace::mbox::WhyLeftOut;

use super::export::{Exported, shown, some_paths};
use crate::context::Context;
use crate::counted::counted;
use crate::failure::host_error;

/// Digits of a commit that are shown.
const SHORT: usize = 10;

/// Writes a file: whole or not at all.
pub fn whole(path: &Path, bytes: &[u8]) -> Result<(), ApiError> {
    let cannot = |source| host_error(format!("cannot write {}", path.display()), &source);
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".partial-{}", std::process::id()));
    let written = std::fs::File::create(&beside)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|source| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
        cannot(source)
    })
}

/// Says what is not in an export, and why.
pub fn say(vm: &Vm, exported: &Exported, context: &Context) {
    let left_out = exported.patch.left_out;
    if exported.patch.files.is_empty() {
        let beside = match left_out {
            0 => String::new(),
            n => format!(" in these paths; {} elsewhere changed", counted(n, "file")),
        };
        context.output.note(&format!(
            "nothing changed in the guest since it was sent{beside}"
        ));
    } else if left_out > 0 {
        context
            .output
            .note(&format!("left out: {}", counted(left_out, "changed file")));
    }
    for commit in &exported.left_out {
        let oid: String = commit.commit.chars().take(SHORT).collect();
        let why = match commit.why {
            WhyLeftOut::Empty => "it changes no file here",
            WhyLeftOut::Merge => "a merge is no mail",
        };
        let subject: String = commit.subject.chars().take(60).collect();
        context
            .output
            .note(&format!("left out: commit {oid} \"{subject}\" ({why})"));
    }
    if !exported.renamed.is_empty() {
        context.output.warn(&format!(
            "git am takes the address for the author's name of {}: the name looks like an address, or is longer than 60 \
             bytes",
            counted(exported.renamed.len(), "commit")
        ));
    }
    say_left_behind(vm, exported, context);
}

/// Says what is in the guest and can be in no patch.
pub fn say_left_behind(vm: &Vm, exported: &Exported, context: &Context) {
    let guest_path = &exported.record.head.guest_path;
    for (kind, what) in [
        (LeftKind::Repository, "git repositories of their own"),
        (LeftKind::Special, "sockets, fifos or devices"),
    ] {
        let here = exported.left_behind.iter().filter(|left| left.kind == kind);
        let paths: Vec<_> = here.map(|left| &left.path[..]).collect();
        let Some(first) = paths.first() else { continue };
        let way = match kind {
            LeftKind::Repository => format!(
                ": banger cp {}:{guest_path}/{} . brings one here",
                vm.name,
                shown(first)
            ),
            LeftKind::Special => String::new(),
        };
        context.output.warn(&format!(
            "in the guest and in no patch ({what}): {}{way}",
            some_paths(paths.iter().copied())
        ));
    }
}

/// Says which files a plain `git apply` does not take, for they go through a content filter, and what does.
pub fn say_filtered(exported: &Exported, context: &Context) {
    if exported.filtered.is_empty() {
        return;
    }
    let mut names: Vec<_> = exported.filtered.iter().map(|(_, name)| name).collect();
    names.sort();
    names.dedup();
    let off: Vec<_> = names
        .iter()
        .flat_map(|name| {
            ["clean=", "smudge=", "process=", "required=false"]
                .map(|setting| format!("-c filter.{name}.{setting}"))
        })
        .collect();
    context.output.warn(&format!(
        "changed here before they were sent, and behind a content filter: {}; export --apply takes them, or git {} apply",
        some_paths(exported.filtered.iter().map(|(path, _)| &path[..])),
        off.join(" ")
    ));
}

/// Says that `git apply` leaves out what is above the current folder.
pub fn say_where(exported: &Exported, context: &Context) {
    let source = &exported.record.head.source;
    let here = std::env::current_dir().ok();
    let is_below = here.is_some_and(|here| here.starts_with(source) && here != Path::new(source));
    if is_below && !exported.patch.files.is_empty() {
        context.output.note(&format!(
            "git apply in this folder leaves out files above it without a word: apply in {source}, or export --apply"
        ));
    }
}
