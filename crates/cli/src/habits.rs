//! Words that people know from other tools, and what they are called here.

use clap::error::{ContextKind, ContextValue};

/// Commands of other tools, and what does that here.
const COMMANDS: &[(&str, &str)] = &[
    (
        "attach",
        "banger exec VM opens a shell in it; banger exec --attach ID VM follows a command",
    ),
    (
        "build",
        "banger image build RECIPE builds an image; banger image --help has all ways to make one",
    ),
    ("commit", "banger vm save makes an image of a VM"),
    (
        "config",
        "settings are in config.toml: banger doctor says where; banger vm set changes a VM",
    ),
    ("cp", "banger cp FILE VM:PATH"),
    (
        "create",
        "banger vm create makes a VM, banger run makes one and enters it",
    ),
    ("delete", "banger rm VM"),
    ("destroy", "banger rm VM"),
    ("down", "banger stop VM, or banger rm VM"),
    ("image", "banger image --help"),
    ("import", "banger image register or banger kernel import"),
    ("info", "banger vm show VM, or banger system status"),
    ("inspect", "banger vm show VM --json"),
    ("kill", "banger vm kill VM"),
    ("launch", "banger run, or banger vm create"),
    ("list", "banger ps lists VMs, banger images lists images"),
    ("load", "banger pull FILE"),
    (
        "login",
        "banger takes the credentials of docker login and podman login",
    ),
    ("ls", "banger ps lists VMs, banger images lists images"),
    ("port", "banger vm ports VM"),
    ("ports", "banger vm ports VM"),
    ("prune", "banger vm prune, banger image prune"),
    (
        "push",
        "banger image export writes an OCI archive, which skopeo or crane push",
    ),
    ("restart", "banger vm restart VM"),
    ("rmi", "banger image delete IMAGE"),
    (
        "save",
        "banger vm save VM IMAGE, or banger image export IMAGE",
    ),
    ("set", "banger vm set VM"),
    (
        "shell",
        "banger exec VM opens a shell, banger ssh VM does so by SSH",
    ),
    ("show", "banger vm show VM, banger image show IMAGE"),
    ("stats", "banger vm stats"),
    (
        "status",
        "banger ps, banger daemon status, banger system status",
    ),
    ("top", "banger vm stats"),
    ("up", "banger run, or banger start VM"),
    (
        "update",
        "make install in the sources builds and installs the newest",
    ),
    (
        "upgrade",
        "make install in the sources builds and installs the newest",
    ),
    ("workspace", "banger vm workspace --help"),
];

/// Options of other tools, and what does that here.
const OPTIONS: &[(&str, &str)] = &[
    (
        "--all",
        "name them all: banger ps -q | xargs banger vm stop",
    ),
    (
        "-a",
        "banger ps lists all VMs, those that do not run as well",
    ),
    ("--volume", BIND),
    ("--mount", BIND),
    (
        "--privileged",
        "a VM needs no such word: its root has a kernel of its own",
    ),
    (
        "--entrypoint",
        "put the program after --; --image-command runs what the image says",
    ),
    ("--network", "--net user or --net none"),
    ("--hostname", "the guest is called as the VM: --name NAME"),
    ("--cpu", "--vcpu N"),
    ("--disk", "--disk-size SIZE"),
    ("--port", "--publish HOSTPORT:GUESTPORT"),
];

/// Advice for who wants a folder of the host in the guest.
const BIND: &str = "no folder of the host is shared: a repository goes in by PATH, files by banger cp or by \
                    [[file_sync]] in config.toml";

/// Our word for a word of another tool that the parser did not know.
pub fn hint(error: &clap::Error) -> Option<String> {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    let find = |table: &[(&str, &str)], word: &str| {
        let known = table.iter().find(|(known, _)| *known == word);
        known.map(|(_, here)| (*here).to_owned())
    };
    if let Some(word) = said(ContextKind::InvalidSubcommand) {
        return find(COMMANDS, word);
    }
    let word = said(ContextKind::InvalidArg)?;
    let option = word.split(['=', ' ']).next().unwrap_or(word);
    find(OPTIONS, option).or_else(|| unexpected(word, error))
}

/// A bare word where no command takes one.
fn unexpected(word: &str, error: &clap::Error) -> Option<String> {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else {
        return None;
    };
    let usage = usage.to_string();
    (!word.starts_with('-') && usage.contains("vm create"))
        .then(|| format!("banger vm create --name {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_or_short_and_say_each_word_once() {
        let words: Vec<_> = COMMANDS.iter().map(|(word, _)| word).collect();
        assert!(words.is_sorted_by(|one, next| one < next), "{words:?}");
    }
}
