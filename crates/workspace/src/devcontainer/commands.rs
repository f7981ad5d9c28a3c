//! Lifecycle commands: a string for a shell, words for no shell, or several of these at once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::DevcontainerError;

/// Commands of one object.
const MAX_COMMANDS: usize = 64;
/// Words of one command.
const MAX_WORDS: usize = 1024;
/// Bytes of one command, also after variables have got their values.
const MAX_COMMAND: usize = 64 * 1024;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// For `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments.
    Program(Vec<String>),
}

/// Commands of one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commands {
    /// One command.
    One(Command),
    /// Several, all at the same time, by their names.
    Together(BTreeMap<String, Command>),
}

impl Commands {
    /// Of a property's value; `None` when it asks for nothing.
    pub(super) fn of(name: &str, value: &Value) -> Result<Option<Self>, DevcontainerError> {
        let Value::Object(several) = value else {
            return Ok(Command::of(name, value)?.map(Self::One));
        };
        if several.len() > MAX_COMMANDS {
            let why = format!("has more than {MAX_COMMANDS} commands");
            return Err(DevcontainerError::property(name, why));
        }
        let mut commands = BTreeMap::new();
        for (key, value) in several {
            if let Some(command) = Command::of(name, value)? {
                commands.insert(key.clone(), command);
            }
        }
        Ok((!commands.is_empty()).then_some(Self::Together(commands)))
    }

    pub(super) fn map(
        &self,
        name: &str,
        change: &mut dyn FnMut(&str) -> String,
    ) -> Result<Self, DevcontainerError> {
        Ok(match self {
            Self::One(command) => Self::One(command.map(name, change)?),
            Self::Together(commands) => {
                let commands = commands
                    .iter()
                    .map(|(key, command)| Ok((key.clone(), command.map(name, change)?)));
                Self::Together(commands.collect::<Result<_, DevcontainerError>>()?)
            }
        })
    }

    /// Program and arguments that run all of it, and end with the code of what failed.
    pub fn argv(&self) -> Vec<String> {
        let shell = |script: &str| ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        match self {
            Self::One(Command::Shell(script)) => shell(script),
            Self::One(Command::Program(words)) => words.clone(),
            Self::Together(commands) => shell(&together(commands.values())),
        }
    }
}

impl Command {
    fn of(name: &str, value: &Value) -> Result<Option<Self>, DevcontainerError> {
        let wrong = || {
            let why = "must be a string, a list of strings, or an object of these";
            DevcontainerError::property(name, why)
        };
        let command = match value {
            Value::Null => return Ok(None),
            Value::String(script) if script.trim().is_empty() => return Ok(None),
            Value::String(script) => Self::Shell(script.clone()),
            Value::Array(words) => {
                let words = words
                    .iter()
                    .map(|word| word.as_str().map(str::to_owned).ok_or_else(wrong));
                let words = words.collect::<Result<Vec<_>, _>>()?;
                if words.first().is_none_or(String::is_empty) {
                    return Ok(None);
                }
                Self::Program(words)
            }
            _ => return Err(wrong()),
        };
        command.checked(name).map(Some)
    }

    fn map(
        &self,
        name: &str,
        change: &mut dyn FnMut(&str) -> String,
    ) -> Result<Self, DevcontainerError> {
        let changed = match self {
            Self::Shell(script) => Self::Shell(change(script)),
            Self::Program(words) => Self::Program(words.iter().map(|word| change(word)).collect()),
        };
        changed.checked(name)
    }

    fn checked(self, name: &str) -> Result<Self, DevcontainerError> {
        let words = match &self {
            Self::Shell(script) => std::slice::from_ref(script),
            Self::Program(words) => words,
        };
        let bytes: usize = words.iter().map(String::len).sum();
        if words.len() > MAX_WORDS || bytes > MAX_COMMAND {
            let why =
                format!("has a command of more than {MAX_COMMAND} bytes or {MAX_WORDS} words");
            return Err(DevcontainerError::property(name, why));
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err(DevcontainerError::property(name, "has a NUL character"));
        }
        Ok(self)
    }
}

/// A script that starts all, waits for all, and ends with the code of the last that failed.
fn together<'a>(commands: impl Iterator<Item = &'a Command>) -> String {
    let mut script = String::from("all=; code=0\n");
    for command in commands {
        let words = match command {
            Command::Shell(text) => format!("/bin/sh -c {}", quoted(text)),
            Command::Program(words) => {
                let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
                words.join(" ")
            }
        };
        script.push_str(&format!("(exec {words}) & all=\"$all $!\"\n"));
    }
    script.push_str("for one in $all; do wait \"$one\" || code=$?; done\nexit \"$code\"");
    script
}

/// A word that a shell reads as it is (POSIX, Shell Command Language, 2.2.2).
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn commands(value: &Value) -> Option<Commands> {
        Commands::of("postCreateCommand", value).unwrap()
    }

    #[test]
    fn a_string_is_for_a_shell_and_a_list_for_none() {
        let shell = commands(&json!("a && b")).unwrap();
        assert_eq!(shell.argv(), ["/bin/sh", "-c", "a && b"]);
        let words = commands(&json!(["echo", "a b"])).unwrap();
        assert_eq!(words.argv(), ["echo", "a b"]);
        for nothing in [
            json!(null),
            json!(" "),
            json!([]),
            json!({}),
            json!({"a": ""}),
        ] {
            assert_eq!(commands(&nothing), None, "{nothing}");
        }
    }

    #[test]
    fn an_object_runs_all_at_once_and_tells_what_failed() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo").display().to_string();
        // Each of the two waits for the other one.
        let all = commands(&json!({
            "read": format!("read line < '{fifo}'; echo \"$line\" > '{fifo}.done'; exit 7"),
            "write": ["sh", "-c", format!("echo \"it's there\" > '{fifo}'")],
        }));
        let argv = all.unwrap().argv();
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap();
        let ended = std::process::Command::new(&argv[0])
            .args(&argv[1..])
            .status()
            .unwrap();
        assert_eq!(ended.code(), Some(7));
        let told = std::fs::read_to_string(format!("{fifo}.done")).unwrap();
        assert_eq!(told, "it's there\n");
    }

    #[test]
    fn what_is_no_command_is_refused() {
        let many: serde_json::Map<_, _> = (0..=MAX_COMMANDS)
            .map(|n| (n.to_string(), json!("true")))
            .collect();
        for wrong in [
            json!(1),
            json!(["a", 1]),
            json!({"a": {"b": "c"}}),
            json!("a\0b"),
            json!("x".repeat(MAX_COMMAND + 1)),
            json!(vec!["x"; MAX_WORDS + 1]),
            Value::Object(many),
        ] {
            assert!(Commands::of("postCreateCommand", &wrong).is_err());
        }
    }
}
