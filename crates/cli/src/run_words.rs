//! `run IMAGE CMD…` without `--`, as container tools have it: the second bare word of `run` begins the command.
//!
//! Options between the first bare word and the command are banger's: `run . --branch try make test`.

use std::ffi::OsString;

use clap::{Arg, Command};

/// Puts `--` before the command of a `run`, where there is none. `words` begin with the program's name.
pub fn with_dashes(root: &Command, mut words: Vec<OsString>) -> Vec<OsString> {
    if let Some(at) = command_of_run(root, &words) {
        words.insert(at, "--".into());
    }
    words
}

/// Position of the command of a `run` that has no `--` before it.
fn command_of_run(root: &Command, words: &[OsString]) -> Option<usize> {
    let mut level = root;
    let mut at = 1;
    while level.get_name() != "run" {
        at = bare_word(root, level, words, at)?;
        level = level.find_subcommand(&words[at])?;
        at += 1;
    }
    let target = bare_word(root, level, words, at)?;
    bare_word(root, level, words, target + 1)
}

/// The first word from `at` on that is neither an option nor its value; none when an option is not known, or `--` comes
/// first.
fn bare_word(root: &Command, level: &Command, words: &[OsString], mut at: usize) -> Option<usize> {
    loop {
        let word = words.get(at)?.to_str();
        let Some(word) = word.filter(|word| word.starts_with('-') && word.len() > 1) else {
            return Some(at);
        };
        if word == "--" {
            return None;
        }
        at += if takes_next(root, level, word)? { 2 } else { 1 };
    }
}

/// Tells whether the value of an option is the next word; `None` for an option that is not known.
fn takes_next(root: &Command, level: &Command, word: &str) -> Option<bool> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, has_value) = match long.split_once('=') {
            Some((name, _)) => (name, true),
            None => (long, false),
        };
        let option = find(root, level, |arg| {
            arg.get_long() == Some(name)
                || arg.get_all_aliases().unwrap_or_default().contains(&name)
        });
        return match (option, name) {
            (Some(option), _) => Some(!has_value && takes_value(option)),
            (None, "help" | "version") => Some(false),
            (None, _) => None,
        };
    }
    for (at, letter) in word[1..].char_indices() {
        let option = find(root, level, |arg| {
            arg.get_short() == Some(letter)
                || arg
                    .get_all_short_aliases()
                    .unwrap_or_default()
                    .contains(&letter)
        });
        match option {
            Some(option) if takes_value(option) => {
                return Some(at + letter.len_utf8() == word.len() - 1);
            }
            Some(_) => {}
            None if letter == 'h' => {}
            None => return None,
        }
    }
    Some(false)
}

/// An option of this level, or one that holds everywhere.
fn find<'c>(
    root: &'c Command,
    level: &'c Command,
    is_it: impl Fn(&Arg) -> bool,
) -> Option<&'c Arg> {
    let everywhere = root.get_opts().filter(|arg| arg.is_global_set());
    let flags = root.get_arguments().filter(|arg| arg.is_global_set());
    let own = level.get_arguments();
    own.chain(everywhere).chain(flags).find(|arg| is_it(arg))
}

fn takes_value(option: &Arg) -> bool {
    let at_least_one = option
        .get_num_args()
        .is_none_or(|count| count.min_values() > 0);
    option.get_action().takes_values() && at_least_one && !option.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Cli;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    fn put(text: &str) -> String {
        let mut root = Cli::command();
        root.build();
        let all = with_dashes(&root, words(text));
        all.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn the_second_bare_word_of_run_begins_the_command() {
        for (given, expected) in [
            (
                "banger run --rm alpine echo hi",
                "banger run --rm alpine -- echo hi",
            ),
            (
                "banger run --rm -e A=b alpine sh -c x",
                "banger run --rm -e A=b alpine -- sh -c x",
            ),
            (
                "banger --json vm run --name=web . --memory 2G make -j4 test",
                "banger --json vm run --name=web . --memory 2G -- make -j4 test",
            ),
            (
                "banger run -itw /x alpine ls",
                "banger run -itw /x alpine -- ls",
            ),
        ] {
            assert_eq!(put(given), expected);
        }
        for same in [
            "banger run",
            "banger run --rm -- uname -a",
            "banger run . -- make test",
            "banger run debian:12 -- cmd a b",
            "banger run . --branch try",
            "banger run --nonsense a b",
            "banger exec web ls -l",
            "banger vm create --name x",
            "banger ps",
        ] {
            assert_eq!(put(same), same);
        }
    }
}
