//! The command line as a whole.

use clap::Parser;

use crate::commands::Command;
use crate::output::Detail;

/// Linux VMs in one command
#[derive(Debug, Parser)]
#[command(
    name = "banger",
    version,
    propagate_version = false,
    max_term_width = 100,
    after_help = "\
Examples:
  banger run --rm -- uname -a  boot a VM, run a command in it, delete it
  banger run --name web        a shell in a VM to come back to
  banger exec web -- df -h     a command in it
  banger ps                    all VMs
  banger doctor                what this host lacks
  banger help exec             all about one command

A VM is named by its name, its id or the start of its id. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not \
found, 4 wrong state, 5 host not ready, 130 interrupted (128 + n by signal n); run, exec and ssh end with the \
guest command's own code, and run and exec with 125 where banger itself would end with 1."
)]
pub struct Cli {
    /// Print data and errors as JSON
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// Tell more while it works
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    pub verbose: bool,
    /// Only data, warnings and errors; only names in lists
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Everywhere"
    )]
    pub quiet: bool,
    /// The command
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// How much the command is to tell beside its data.
    pub fn detail(&self) -> Detail {
        match (self.quiet, self.verbose) {
            (true, _) => Detail::Little,
            (false, true) => Detail::More,
            (false, false) => Detail::Usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn refused(words: &[&str]) -> String {
        let words = [&["banger"], words].concat();
        let error = Cli::try_parse_from(words).unwrap_err();
        let failure = crate::usage::failure(&error);
        assert_eq!(failure.exit_code(), 2);
        let error = failure.error().unwrap();
        let hint = error.hint.as_deref().unwrap_or("no hint");
        format!("{}\n{hint}", error.message)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every command with its whole name, those of `help` aside.
    fn every_command() -> Vec<(String, clap::Command)> {
        fn walk(command: &clap::Command, path: &str, into: &mut Vec<(String, clap::Command)>) {
            let path = format!("{path} {}", command.get_name()).trim().to_owned();
            for inner in command
                .get_subcommands()
                .filter(|inner| inner.get_name() != "help")
            {
                walk(inner, &path, into);
            }
            into.push((path, command.clone()));
        }
        let mut all = Vec::new();
        let mut command = Cli::command();
        command.build();
        walk(&command, "", &mut all);
        all
    }

    fn words_after(command: &clap::Command) -> String {
        let help = command.get_after_long_help().or(command.get_after_help());
        help.map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn every_command_teaches_by_example() {
        for (path, command) in every_command() {
            let help = words_after(&command);
            assert!(help.contains("Examples:"), "{path} has no examples");
            assert!(
                command.get_about().is_some(),
                "{path} does not say what it does"
            );
        }
    }

    #[test]
    fn help_fits_80_columns_and_is_wrapped_once() {
        for (path, command) in every_command() {
            let page = command
                .clone()
                .term_width(80)
                .render_long_help()
                .to_string();
            for line in page.lines() {
                assert!(line.chars().count() <= 80, "{path}: {line:?}");
            }
            for line in words_after(&command)
                .lines()
                .filter(|line| line.starts_with(' '))
            {
                assert!(
                    line.chars().count() <= 80,
                    "{path}: the example is folded: {line:?}"
                );
            }
            let text = words_after(&command);
            let prose =
                |line: &str| !line.is_empty() && !line.starts_with(' ') && line != "Examples:";
            let broken = text.lines().zip(text.lines().skip(1));
            for (line, next) in broken {
                assert!(
                    !(prose(line) && prose(next)),
                    "{path}: broken by hand after {line:?}"
                );
            }
        }
    }

    #[test]
    fn arguments_and_options_stand_under_their_own_headings() {
        for (path, command) in every_command() {
            for argument in command.get_arguments() {
                if argument.is_positional() {
                    assert_eq!(
                        argument.get_help_heading(),
                        None,
                        "{path}: {}",
                        argument.get_id()
                    );
                }
            }
        }
        let run = every_command()
            .into_iter()
            .find(|(path, _)| path == "banger vm run");
        let run = run.unwrap().1;
        let heading = |name: &str| {
            let mut arguments = run.get_arguments();
            let found = arguments.find(|argument| argument.get_id() == name);
            found.unwrap().get_help_heading().map(str::to_owned)
        };
        for (name, under) in [
            ("rm", None),
            ("detach", None),
            ("timings", None),
            ("image", Some("The VM")),
            ("memory", Some("The VM")),
            ("publish", Some("Network")),
            ("env", Some("The command")),
            ("workdir", Some("The command")),
            ("branch", Some("The repository")),
            ("json", Some("Everywhere")),
        ] {
            assert_eq!(heading(name).as_deref(), under, "{name}");
        }
    }

    #[test]
    fn words_of_other_tools_lead_to_ours() {
        for (words, wanted) in [
            (&["list"][..], "banger ps"),
            (&["ls"], "banger ps"),
            (&["show", "web"], "banger vm show"),
            (&["create", "--name", "x"], "banger vm create"),
            (&["restart", "web"], "banger vm restart"),
            (&["build", "."], "banger image build"),
            (&["stats"], "banger vm stats"),
            (&["config"], "config.toml"),
            (&["inspect", "web"], "banger vm show"),
            (&["login"], "docker login"),
            (&["vm", "create", "lab2"], "--name"),
            (&["run", "-v", "/tmp:/x", "--volume", "a:b"], "file_sync"),
            (&["run", "--mount", "x"], "file_sync"),
            (&["vm", "stop", "--all"], "banger ps -q"),
        ] {
            let told = refused(words);
            assert!(told.contains(wanted), "{words:?}: {told}");
            assert!(!told.contains("as a value"), "{words:?}: {told}");
        }
        for words in [
            &["run", "-p", "8080:80", "-m", "1G", "--cpus", "2"][..],
            &["help", "run"],
            &["pull", "debian:12"],
            &["images"],
        ] {
            let words = [&["banger"], words].concat();
            match Cli::try_parse_from(&words) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.exit_code(), 0, "{words:?}: {error}"),
            }
        }
    }

    #[test]
    fn short_forms_are_the_vm_commands() {
        for words in [
            &["run", "--rm", "--", "true"][..],
            &["ps", "-q"],
            &["exec", "web", "--", "ls", "-l"],
            &["exec", "web", "ls", "-l"],
            &["exec", "-it", "web", "sh"],
            &[
                "exec",
                "-n",
                "-e",
                "A",
                "-e",
                "B=1",
                "--env-file",
                "f",
                "web",
                "ls",
            ],
            &["ssh", "-L", "1:h:2", "web", "--", "ls", "-l"],
            &["cp", "a", "web:/a"],
            &["logs", "-f", "--tail", "5", "web"],
            &["rm", "--force", "web", "db"],
            &["start", "web", "db"],
            &["stop", "--timeout", "5", "web"],
        ] {
            let short = [&["banger"], words].concat();
            let long = [&["banger", "vm"], words].concat();
            Cli::try_parse_from(short).unwrap();
            Cli::try_parse_from(long).unwrap();
        }
    }

    #[test]
    fn json_is_understood_anywhere_before_the_guest_command() {
        let parse = |words: &[&str]| Cli::try_parse_from(words).unwrap();
        assert!(parse(&["banger", "--json", "ps"]).json);
        assert!(parse(&["banger", "vm", "show", "web", "--json"]).json);
        assert!(!parse(&["banger", "exec", "web", "--", "x", "--json"]).json);
        assert!(!parse(&["banger", "exec", "web", "x", "--json"]).json);
        assert!(parse(&["banger", "exec", "web", "--json", "--", "x"]).json);
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        let told = refused(&["run", "--memory", "4X"]);
        assert!(told.contains("\"4X\"") && told.contains("4GiB"), "{told}");
        let told = refused(&["run", "--vcpu", "0"]);
        assert!(told.contains('0') && told.contains('1'), "{told}");
        let told = refused(&["run", "--net", "Bridge"]);
        assert!(told.contains("network name"), "{told}");
        let told = refused(&["run", "--name", "Web"]);
        assert!(told.contains("a-z, 0-9"), "{told}");
        let told = refused(&["run", "--publish", "80"]);
        assert!(told.contains("HOSTPORT:GUESTPORT"), "{told}");
        let told = refused(&["exec", "--timeout", "soon", "web", "ls"]);
        assert!(told.contains("soon") && told.contains("1m30s"), "{told}");
        let told = refused(&["exec", "-e", "=x", "web", "ls"]);
        assert!(told.contains("NAME=VALUE"), "{told}");
        let told = refused(&["completion", "tcsh"]);
        assert!(told.contains("zsh"), "{told}");
    }

    #[test]
    fn a_slip_of_the_fingers_gets_the_nearest_word() {
        assert!(refused(&["vm", "strat", "web"]).contains("start"));
        assert!(refused(&["run", "--memroy", "1G"]).contains("--memory"));
        assert!(refused(&["imgae", "list"]).contains("image"));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for words in [
            &["run", "--detach", "--rm"][..],
            &["run", "--detach", "--", "true"],
            &["run", "./path", "./another"],
            &["run", "./path", "--from", "HEAD"],
            &["vm", "workspace", "prepare"],
            &["exec", "-n", "-i", "web", "ls"],
            &["vm", "set", "web"],
            &["vm", "stop"],
            &["kernel", "import"],
            &["kernel", "import", "--host", "--default"],
            &["kernel", "import", "--host", "--modules", "x"],
            &["vm", "exec"],
            &["nonsense"],
        ] {
            let told = refused(words);
            assert!(!told.contains("no hint"), "{words:?}: {told}");
            assert_eq!(told.lines().count(), 2, "{words:?}: {told}");
        }
    }
}
