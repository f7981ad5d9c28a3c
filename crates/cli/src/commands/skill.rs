//! `banger skill`

use crate::context::Context;
use crate::failure::Outcome;

/// The text.
const SKILL: &str = include_str!("skill.md");

/// Arguments of `banger skill`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Coding agents read such a file when a task asks for it. It is of this build: write it anew after an upgrade.

Examples:
  mkdir -p ~/.claude/skills/banger
  banger skill > ~/.claude/skills/banger/SKILL.md")]
pub struct Args {}

/// Prints the skill.
///
/// # Errors
/// Standard output is closed.
pub fn run(_args: Args, context: &Context) -> Outcome {
    context.output.data(SKILL.as_bytes())?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    /// Words that stand for a value in the examples.
    const VALUES: [(&str, &str); 2] = [("NAME", "lab"), ("REPO", ".")];

    #[test]
    fn every_command_that_the_skill_teaches_is_one() {
        let mut inside = false;
        let mut seen = 0;
        for line in SKILL.lines() {
            if line.starts_with("```") {
                inside = !inside;
                continue;
            }
            let Some(command) = line.strip_prefix("banger ").filter(|_| inside) else {
                continue;
            };
            let command = command.split("  #").next().unwrap_or(command);
            let command = command.split(['|', '>']).next().unwrap_or(command);
            let words: Vec<String> = shlex::split(&format!("banger {command}")).unwrap_or_default();
            let words = words.into_iter().map(|word| {
                VALUES
                    .iter()
                    .fold(word, |word, (name, value)| word.replace(name, value))
            });
            let words = crate::run_words::with_dashes(
                &<Cli as clap::CommandFactory>::command(),
                words.map(Into::into).collect(),
            );
            let parsed = Cli::try_parse_from(&words);
            assert!(
                parsed.is_ok(),
                "{line}: {:?}",
                parsed.err().map(|error| error.to_string())
            );
            seen += 1;
        }
        assert!(seen > 15, "{seen}");
    }

    #[test]
    fn it_begins_as_a_skill_does() {
        assert!(SKILL.starts_with("---\nname: banger\ndescription: "));
        let head = SKILL.split("---").nth(1).unwrap_or_default();
        assert!(
            head.len() < 1_100,
            "a description has at most 1,024 characters"
        );
    }
}
