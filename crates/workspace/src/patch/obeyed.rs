//! Files that programs or agents obey unasked, recognised by rules and not by a list of products.
//!
//! Tools of every kind mark files that they read by themselves with a dot before the name: hooks, editors, shells, CI,
//! package managers, agents. So each file with such a name, or in a folder with one, counts, except a few that no
//! program takes orders from. Beside them there are conventions without a dot: files that builds and test runners
//! execute, files that services read on a server, and texts that agents take as instructions.
//!
//! Names are compared as the most forgiving file systems do (HFS+, NTFS, APFS), for a patch may be carried there.

use super::file::Consent;

/// Dotted files that list exclusions or text styles, and contain nothing that a program would run.
const HARMLESS: &[&str] = &[
    ".gitignore",
    ".gitkeep",
    ".keep",
    ".dockerignore",
    ".npmignore",
    ".prettierignore",
    ".eslintignore",
    ".helmignore",
    ".editorconfig",
    ".clang-format",
    ".rustfmt.toml",
    ".mailmap",
    ".nojekyll",
];
/// Folders whose files are run at events of git or of a package manager.
const HOOK_FOLDERS: &[&str] = &["githooks", "git-hooks", "husky"];
/// In a folder called `hooks`, files with these ends or without one are hooks; others are components.
const HOOK_ENDS: &[&str] = &["sh", "bash", "py", "pl", "rb", "ps1", "bat", "cmd", "exe"];
/// First words of the names of files that builds, tests, shells and CI services execute by themselves.
const EXECUTED: &[&str] = &[
    "build.rs",
    "conftest.py",
    "sitecustomize.py",
    "usercustomize.py",
    "setup.py",
    "noxfile.py",
    "binding.gyp",
    "flake.nix",
    "shell.nix",
    "default.nix",
    "devenv.nix",
    "jenkinsfile",
    "vagrantfile",
    "tiltfile",
    "procfile",
    "brewfile",
    "gulpfile.js",
    "gruntfile.js",
    "pnpmfile.cjs",
    "pnpmfile.js",
    "rust-toolchain",
    "rust-toolchain.toml",
    "appveyor.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "cloudbuild.yaml",
    "buildspec.yml",
    "codefresh.yml",
    "directory.build.props",
    "directory.build.targets",
    "directory.packages.props",
    "nuget.config",
    "pip.conf",
    "pip.ini",
    "init.gradle",
    "gradle-wrapper.properties",
    "_vimrc",
    "_exrc",
    "desktop.ini",
    "autorun.inf",
    "devcontainer.json",
];
/// Tools whose settings are read wherever they lie: `NAME.toml`, `NAME.local.toml`, `NAME-local.yml`, `NAME/`.
const TOOLS: &[&str] = &["lefthook", "mise", "rtx", "pre-commit-config"];
/// Ends of files with settings.
const SETTINGS: &[&str] = &["toml", "yml", "yaml", "json", "jsonc"];
/// Ends of names that editors and interpreters read by themselves.
const ENDS: &[&str] = &[
    ".code-workspace",
    ".sublime-project",
    ".pth",
    ".desktop",
    ".gyp",
    ".gypi",
];
/// Names of files that agents read as instructions, before the first dot.
const AGENTS: &[&str] = &[
    "agent",
    "agents",
    "claude",
    "gemini",
    "codex",
    "copilot",
    "cursor",
    "qwen",
    "aider",
    "cline",
    "windsurf",
    "warp",
    "skill",
    "copilot-instructions",
    "crush",
    "goose",
    "jules",
    "opencode",
];

/// Reason for which a new or changed file at this path needs consent; `None`: it is ordinary.
pub(super) fn why(path: &[u8]) -> Option<Consent> {
    let text = folded(path);
    let mut names: Vec<&str> = text.split(['/', '\\']).map(stem).collect();
    let last = names.pop()?;
    if instructs(last) {
        return Some(Consent::Instructions);
    }
    let dotted = |name: &&&str| name.starts_with('.') || is_short(name);
    let in_dotted = names.iter().any(|name| dotted(&name));
    let is_dotted = dotted(&&last) && !HARMLESS.contains(&last);
    let is_hook = last
        .rsplit_once('.')
        .is_none_or(|(_, end)| HOOK_ENDS.contains(&end));
    let in_hooks = names
        .iter()
        .any(|name| HOOK_FOLDERS.contains(name) || *name == "hooks" && is_hook);
    let in_tool = names.iter().any(|name| TOOLS.contains(name));
    let obeyed = in_dotted || is_dotted || in_hooks || in_tool || is_executed(last);
    obeyed.then_some(Consent::Obeyed)
}

fn is_executed(name: &str) -> bool {
    let has_settings = name
        .rsplit_once('.')
        .is_some_and(|(_, end)| SETTINGS.contains(&end));
    let is_tools = TOOLS.iter().any(|tool| {
        let rest = name.strip_prefix(tool);
        rest.is_some_and(|rest| rest.starts_with(['.', '-']))
    });
    // eslint.config.js, vite.config.ts, karma.conf.js: programs, which editors run when a folder is opened.
    let is_script = ["js", "cjs", "mjs", "ts", "cts", "mts"].iter().any(|end| {
        let stem = name.strip_suffix(end).unwrap_or_default();
        stem.ends_with(".config.") || stem.ends_with(".conf.")
    });
    EXECUTED.contains(&name)
        || is_tools && has_settings
        || ENDS.iter().any(|end| name.ends_with(end))
        || is_script
}

fn instructs(name: &str) -> bool {
    let name = name.trim_start_matches('.');
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    let is_text = rest == "md" || rest.ends_with(".md") || rest == "mdc" || rest == "txt";
    let marked = [
        ".instructions.md",
        ".prompt.md",
        ".chatmode.md",
        ".agent.md",
        ".mdc",
    ];
    (AGENTS.contains(&first) && is_text) || marked.iter().any(|end| name.ends_with(end))
}

/// A name as the most forgiving file systems compare it.
pub(super) fn folded(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let seen = text.chars().filter(|c| !ignored(*c));
    // By way of capitals, as some letters have one capital in common (the long s, the Kelvin sign).
    let capitals = seen.flat_map(|c| match c {
        '\u{131}' => c.to_lowercase().collect::<Vec<_>>(),
        c => c.to_uppercase().collect(),
    });
    capitals.flat_map(char::to_lowercase).collect()
}

/// A name without the parts that NTFS ignores: streams, and dots and blanks at its end.
pub(super) fn stem(name: &str) -> &str {
    let stem = name.split(':').next().unwrap_or_default();
    stem.trim_end_matches([' ', '.'])
}

/// The short name (`GITMOD~1`) that NTFS gives to a longer one, which may begin with a dot.
fn is_short(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let Some((start, number)) = stem.rsplit_once('~') else {
        return false;
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && !start.is_empty() && stem.len() <= 8
}

/// Characters that HFS+ leaves out when it compares names (git, utf8.c).
fn ignored(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_and_agents_read_by_themselves_is_known_wherever_it_lies() {
        for path in [
            ".husky/pre-commit",
            "a/.githooks/x",
            ".envrc",
            ".env",
            ".env.local",
            "sub/.gitmodules",
            ".vscode/tasks.json",
            ".cargo/config.toml",
            ".claude/settings.json",
            ".mcp.json",
            ".cursor/mcp.json",
            ".gemini/settings.json",
            ".codex/config.toml",
            ".zed/tasks.json",
            ".exrc",
            ".dir-locals.el",
            ".mise.local.toml",
            "mise.toml",
            "mise.local.toml",
            "mise/config.toml",
            "lefthook.yaml",
            "lefthook-local.yml",
            ".pre-commit-config.yml",
            ".pnpmfile.cjs",
            ".yarnrc",
            "rust-toolchain.toml",
            "crates/x/build.rs",
            "tests/conftest.py",
            ".github/workflows/ci.yml",
            ".gitlab-ci.yml",
            "flake.nix",
            "Jenkinsfile",
            "web/eslint.config.mjs",
            "vite.config.ts",
            "hooks/post-checkout",
            "some.code-workspace",
            ".some-tool-of-tomorrow/anything",
            ".ignored/.gitignore",
        ] {
            assert_eq!(why(path.as_bytes()), Some(Consent::Obeyed), "{path}");
        }
        for path in [
            "AGENTS.md",
            "sub/CLAUDE.md",
            "CLAUDE.local.md",
            "GEMINI.md",
            ".github/copilot-instructions.md",
            ".cursor/rules/x.mdc",
            "docs/review.prompt.md",
            "skills/x/SKILL.md",
        ] {
            assert_eq!(why(path.as_bytes()), Some(Consent::Instructions), "{path}");
        }
    }

    #[test]
    fn ordinary_files_are_not_asked_about() {
        for path in [
            "src/main.rs",
            "Makefile",
            "package.json",
            "Cargo.toml",
            "docs/hook.md",
            "docs/agents-overview.md",
            "cargo/config.toml",
            ".gitignore",
            "sub/.gitignore",
            ".editorconfig",
            "a.b.c",
            "x~1y",
            "backup~2024-file",
            "README.md",
            "src/hooks.ts",
            "src/hooks/use-x.tsx",
            "config.js",
            "agents.rs",
        ] {
            assert_eq!(why(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn a_name_is_known_by_any_spelling_that_a_file_system_takes_for_it() {
        for path in [
            ".Envrc",
            ".GITHUB/workflows/x.yml",
            ".gitm\u{200c}odules",
            "\u{feff}.envrc",
            ".vscode./tasks.json",
            ".vscode /tasks.json",
            ".envrc:stream",
            ".envrc::$DATA",
            "sub\\.envrc",
            "GITMOD~1",
            "GITHUB~1/x",
            "ENVRC~12",
            ".hu\u{17f}ky/pre-commit",
            "HOO\u{212a}S/x",
            "BUILD.RS",
            "build.rs.",
            "Conftest.PY ",
            "A\u{200d}GENTS.md",
        ] {
            assert!(why(path.as_bytes()).is_some(), "{path:?}");
        }
    }
}
