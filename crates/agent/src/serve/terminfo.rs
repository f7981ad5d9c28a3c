//! The terminal type of a command: the host's, where the guest knows it (terminfo(5)).

use std::path::Path;

/// Directories of descriptions of terminals (ncurses, as distributions build it).
const PLACES: [&str; 5] = [
    "etc/terminfo",
    "lib/terminfo",
    "usr/share/terminfo",
    "usr/lib/terminfo",
    "usr/share/misc/terminfo",
];
/// The same in a user's home.
const OWN: &str = ".terminfo";
/// A terminal that can do nothing: programs know it without a description.
const DUMB: &str = "dumb";
/// Types that stand in for one that the guest does not know, the best first. Today's terminals all understand them.
const USUAL: [&str; 2] = ["xterm-256color", "xterm"];

/// `term`, or the usual type in a guest that has no description of it.
pub(super) fn usable<'a>(term: &'a str, root: &Path, home: &str) -> &'a str {
    let described = |term: &str| is_described(term, root, home);
    if term == DUMB || described(term) {
        return term;
    }
    let known = USUAL.into_iter().find(|usual| described(usual));
    // A guest without any description has programs that bring their own, of the usual type at least.
    known.unwrap_or(USUAL[0])
}

fn is_described(term: &str, root: &Path, home: &str) -> bool {
    let Some(first) = term.bytes().next().filter(u8::is_ascii) else {
        return false;
    };
    if term.contains(['/', '\0']) || term.starts_with('.') {
        return false;
    }
    // By the first letter, or its number on file systems that do not tell letters apart.
    let folders = [char::from(first).to_string(), format!("{first:x}")];
    let own = root.join(home.trim_start_matches('/')).join(OWN);
    PLACES
        .iter()
        .map(|place| root.join(place))
        .chain([own])
        .any(|place| {
            let at = |folder: &String| place.join(folder).join(term);
            folders
                .iter()
                .any(|folder| at(folder).symlink_metadata().is_ok())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(described: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in described {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn a_type_that_the_guest_knows_stays_and_another_becomes_the_usual_one() {
        let debian = guest(&["lib/terminfo/x/xterm-256color", "lib/terminfo/v/vt220"]);
        let term = |term| usable(term, debian.path(), "/root");
        assert_eq!(term("vt220"), "vt220");
        assert_eq!(term("xterm-kitty"), "xterm-256color");
        assert_eq!(term("dumb"), "dumb");
        for odd in ["", "/etc/passwd", "../x", "..", "\u{e4}"] {
            assert_eq!(term(odd), "xterm-256color", "{odd:?}");
        }
    }

    #[test]
    fn the_users_own_descriptions_and_numbered_folders_count() {
        let root = guest(&["root/.terminfo/x/xterm-kitty", "usr/share/terminfo/66/foot"]);
        assert_eq!(usable("xterm-kitty", root.path(), "/root"), "xterm-kitty");
        assert_eq!(usable("foot", root.path(), "/root"), "foot");
        assert_eq!(
            usable("xterm-kitty", root.path(), "/home/a"),
            "xterm-256color"
        );
    }

    #[test]
    fn a_guest_with_an_old_description_only_gets_that_and_one_without_any_the_usual_type() {
        let old = guest(&["usr/share/terminfo/x/xterm"]);
        assert_eq!(usable("alacritty", old.path(), "/root"), "xterm");
        assert_eq!(
            usable("alacritty", guest(&[]).path(), "/root"),
            "xterm-256color"
        );
    }
}
