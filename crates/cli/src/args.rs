//! The command line as a whole.

use clap::Parser;

use crate::commands::Command;

/// Linux VMs in one command
#[derive(Debug, Parser)]
#[command(
    name = "banger",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "\
Examples:
  banger run --rm -- uname -a     boot a VM, run a command in it, delete it
  banger run --name web           a shell in a VM to come back to
  banger exec web -- df -h        a command in it
  banger ps                       all VMs
  banger doctor                   what this host lacks

A VM is named by its name, its id or the start of its id. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found,
4 wrong state, 5 host not ready, 130 interrupted; run, exec and ssh end with the guest command's own code."
)]
pub struct Cli {
    /// Print data and errors as JSON
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// Tell more while it works
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    pub verbose: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
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

    #[test]
    fn every_command_teaches_by_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            for inner in command.get_subcommands() {
                check(inner, &path);
            }
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string);
                let help = help.unwrap_or_default();
                assert!(help.contains("Examples:"), "{path} has no examples");
            }
            assert!(
                command.get_about().is_some(),
                "{path} says not what it does"
            );
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn short_forms_are_the_vm_commands() {
        for words in [
            &["run", "--rm", "--", "true"][..],
            &["ps", "-q"],
            &["exec", "web", "--", "ls", "-l"],
            &["ssh", "-L", "1:h:2", "web", "--", "ls", "-l"],
            &["cp", "a", "web:/a"],
            &["logs", "-f", "--tail", "5", "web"],
            &["rm", "--force", "web", "db"],
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
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        let told = refused(&["run", "--memory", "4X"]);
        assert!(told.contains("\"4X\"") && told.contains("4GiB"), "{told}");
        let told = refused(&["run", "--vcpu", "0"]);
        assert!(told.contains('0') && told.contains('1'), "{told}");
        let told = refused(&["run", "--net", "bridge"]);
        assert!(told.contains("none or user"), "{told}");
        let told = refused(&["run", "--name", "Web"]);
        assert!(told.contains("a-z, 0-9"), "{told}");
        let told = refused(&["run", "--publish", "80"]);
        assert!(told.contains("HOSTPORT:GUESTPORT"), "{told}");
        let told = refused(&["completion", "tcsh"]);
        assert!(told.contains("bash"), "{told}");
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
            &["exec", "web", "ls"],
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
