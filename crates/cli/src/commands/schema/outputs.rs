//! Output of each command with `--json`.

use serde::Serialize;

/// The form of what a command prints with `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum Output {
    /// Nothing.
    None,
    /// Bytes: a guest command's own output, a patch, a log, a script.
    Bytes,
    /// One object of a type of the API.
    One {
        /// Its name in `types`.
        r#type: &'static str,
    },
    /// An array of a type of the API.
    Many {
        /// The name of the type in `types`.
        r#type: &'static str,
    },
    /// One object of a type of the API for each line.
    Lines {
        /// The name of the type in `types`.
        r#type: &'static str,
    },
    /// One object with these fields.
    Object {
        /// Their names.
        fields: &'static [&'static str],
    },
    /// An array of objects with these fields.
    Objects {
        /// Their names.
        fields: &'static [&'static str],
    },
    /// Nobody has said it: a test fails.
    Unknown,
}

const VM: Output = Output::One { r#type: "Vm" };
const VMS: Output = Output::Many { r#type: "Vm" };
const IMAGE: Output = Output::One { r#type: "Image" };
const IMAGES: Output = Output::Many { r#type: "Image" };
const KERNEL: Output = Output::One { r#type: "Kernel" };
const KERNELS: Output = Output::Many { r#type: "Kernel" };
const REMOVED: Output = Output::Objects {
    fields: &["id", "name", "deleted"],
};
const INSTALLED: Output = Output::Object {
    fields: &["path", "installed"],
};

/// The output of the command of this name.
pub fn of(command: &str) -> Output {
    match command {
        "run" | "vm run" | "exec" | "vm exec" | "ssh" | "vm ssh" | "logs" | "vm logs"
        | "daemon logs" => Output::Bytes,
        "vm workspace export" => Output::Object {
            fields: &[
                "vm",
                "output",
                "applied_to",
                "files",
                "bytes",
                "files_left_out",
                "left_behind",
                "filtered",
                "commits_left_out",
            ],
        },
        "vm workspace list" => Output::Objects {
            fields: &[
                "name",
                "guest_path",
                "source",
                "branch",
                "commit",
                "user",
                "complete",
                "sent_at",
            ],
        },
        "vm workspace diff" => Output::Object {
            fields: &[
                "files",
                "bytes",
                "files_left_out",
                "left_behind",
                "filtered",
                "commits_left_out",
            ],
        },
        "completion bash" | "completion zsh" | "completion fish" => Output::Bytes,
        "ps" | "vm list" | "vm show" => VMS,
        "start"
        | "stop"
        | "vm start"
        | "vm stop"
        | "vm restart"
        | "vm kill"
        | "vm suspend"
        | "vm checkpoint restore"
        | "vm fork"
        | "vm pause"
        | "vm resume" => VMS,
        "vm create" | "vm set" => VM,
        "vm checkpoint list" => Output::Many {
            r#type: "Checkpoint",
        },
        "vm checkpoint create" => Output::One {
            r#type: "Checkpoint",
        },
        "vm checkpoint delete"
        | "rm"
        | "vm delete"
        | "image delete"
        | "kernel delete"
        | "secret delete" => REMOVED,
        "vm prune" => Output::Object {
            fields: &["vms", "freed_bytes", "dry_run"],
        },
        "image prune" => Output::Object {
            fields: &["images", "freed_bytes", "dry_run"],
        },
        "secret set" => Output::One { r#type: "Secret" },
        "secret list" => Output::Many { r#type: "Secret" },
        "template list" => Output::Many { r#type: "Template" },
        "template prune" => Output::Object {
            fields: &["templates", "freed_bytes", "dry_run"],
        },
        "image cache prune" => Output::Object {
            fields: &["blobs", "freed_bytes", "dry_run"],
        },
        "vm stats" => Output::Many { r#type: "VmStats" },
        "vm health" => Output::Many { r#type: "VmHealth" },
        "vm ports" => Output::Many { r#type: "Port" },
        "vm port add" | "vm port remove" | "vm port list" => Output::Objects {
            fields: &["at", "guest_port", "kind", "failure"],
        },
        "vm addr" => Output::Object {
            fields: &["name", "address"],
        },
        "vm net allow" | "vm net deny" | "vm net remove" | "vm net rules" => Output::One {
            r#type: "VmNetwork",
        },
        "vm net check" => Output::One {
            r#type: "NetVerdict",
        },
        "vm net log" | "vm net watch" => Output::Bytes,
        "cp" | "vm cp" => Output::Object {
            fields: &["entries", "bytes", "skipped"],
        },
        "vm workspace prepare" => Output::Object {
            fields: &[
                "vm",
                "guest_path",
                "head_commit",
                "branch",
                "files",
                "removed",
                "bytes",
            ],
        },
        "images" | "image list" | "image show" => IMAGES,
        "pull" | "image pull" | "image build" | "image register" | "image rename"
        | "image reseed" | "vm save" => IMAGE,
        "image export" => Output::Object {
            fields: &["path", "bytes"],
        },
        "kernel list" | "kernel show" => KERNELS,
        "kernel import" => KERNEL,
        "doctor" => Output::One { r#type: "Report" },
        "system status" | "system sweep" => Output::One {
            r#type: "Resources",
        },
        "system log" => Output::Many {
            r#type: "LoggedOperation",
        },
        "daemon status" => Output::One {
            r#type: "DaemonStatus",
        },
        "daemon run" | "daemon stop" => Output::None,
        "ssh-config" => Output::Object {
            fields: &["path", "include_line", "installed"],
        },
        "completion install" | "completion uninstall" | "system install" | "system uninstall" => {
            INSTALLED
        }
        "events" => Output::Lines {
            r#type: "SystemEvent",
        },
        "metrics" | "mcp" | "skill" => Output::Bytes,
        "prove" => Output::Object {
            fields: &[
                "scenarios",
                "points",
                "faults",
                "checks",
                "seeds",
                "failed",
                "failures",
                "rules",
            ],
        },
        "schema" => Output::Object {
            fields: &[
                "schema",
                "version",
                "commands",
                "exit_codes",
                "error_codes",
                "types",
            ],
        },
        "version" => Output::Object {
            fields: &["version", "build"],
        },
        _ => Output::Unknown,
    }
}
