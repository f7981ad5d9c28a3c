//! The configuration file: every key optional, unknown keys refused with the nearest known one.

use std::path::Path;

use banger_api::vm::{Egress, NetMode, NetStack};
use banger_api::{ApiError, ByteSize, ErrorCode, suggest};
use banger_engine::JailMode;
use banger_guest::TmpMode;
use serde::Deserialize;

use crate::authorities::CaCertificates;

/// Largest configuration file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: Option<String>,
    /// Image of VMs that name none.
    pub default_image: Option<String>,
    /// `auto` or `qemu`.
    pub engine: Option<String>,
    /// The SSH key whose public half goes into every guest; made in the state directory when unset.
    pub ssh_key_path: Option<String>,
    /// Sizes of VMs that name none.
    pub vm_defaults: VmDefaults,
    /// The processes that run VMs.
    pub vmm: Vmm,
    /// Networks of VMs.
    pub network: Network,
    /// Guests.
    pub guest: Guest,
    /// Templates, from which VMs wake.
    pub templates: Templates,
    /// SSH to guests.
    pub ssh: Ssh,
    /// Files of the host that every guest gets a copy of, at every start.
    pub file_sync: Vec<FileSync>,
}

/// One `[[file_sync]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSync {
    /// A file or directory of the host: absolute, or below `~/`.
    pub host: String,
    /// Place in the guest: below `/root` or `~/`.
    pub guest: String,
    /// Permission bits of files, in octal digits.
    pub mode: Option<String>,
}

/// `[vm_defaults]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VmDefaults {
    /// Virtual CPUs.
    pub vcpu: Option<u32>,
    /// Memory in MiB.
    pub memory_mib: Option<u32>,
    /// Size of the work disk.
    pub disk_size: Option<SizeText>,
    /// Size of the system overlay.
    pub overlay_size: Option<SizeText>,
}

/// `[vmm]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vmm {
    /// Jail of a VMM: `auto` (all that the host gives), `require` (all, or no VM starts) or `off`.
    pub jail: JailMode,
}

/// Port of `NAME.localhost`: 83 as in the addresses of VMs.
const HTTP_PORT: u16 = 8383;

/// `[network]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// `none` or `user`.
    pub mode: Option<NetMode>,
    /// Carrier of the packets of new VMs: `own` or `slirp`.
    pub stack: Option<NetStack>,
    /// Addresses that new VMs may reach: `public`, `all`, `none` or `list`.
    pub egress: Option<Egress>,
    /// Rules of what new VMs may reach besides.
    pub allow: Vec<String>,
    /// Rules of what new VMs may not reach.
    pub deny: Vec<String>,
    /// Name server of guests.
    pub dns: Option<std::net::IpAddr>,
    /// Proxy through which VMs on banger's own network reach the internet: `http://HOST:PORT`, or `none`; without it that of
    /// `HTTPS_PROXY` in the daemon's environment.
    pub upstream_proxy: Option<String>,
    /// Servers of guests on banger's own network appear at their VM's address of this host.
    pub publish_auto: bool,
    /// Port of this host's loopback at which `NAME.localhost` leads to servers of guests; 0 for none.
    pub http_port: u16,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            mode: None,
            stack: None,
            egress: None,
            allow: Vec::new(),
            deny: Vec::new(),
            dns: None,
            upstream_proxy: None,
            publish_auto: true,
            http_port: HTTP_PORT,
        }
    }
}

/// `[templates]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Templates {
    /// VMs of images without an init wake from a template, when there is one, and one is made when there is none.
    pub enabled: bool,
    /// Most that all together take on the disk.
    pub quota: Option<SizeText>,
}

/// `[guest]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guest {
    /// Place of `/tmp`: `disk` (the VM's system disk, emptied at each start) or `memory`.
    pub tmp: TmpMode,
    /// Authorities that guests trust beside their image's: `image` (none), `host`, or the path of a file.
    pub ca_certificates: CaCertificates,
}

/// `[ssh]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ssh {
    /// A connection starts a VM that is stopped.
    pub start_stopped: bool,
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            start_stopped: true,
        }
    }
}

/// A size as text (`"8G"`) or as a number of MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SizeForm")]
pub struct SizeText(pub ByteSize);

#[derive(Deserialize)]
#[serde(untagged)]
enum SizeForm {
    Mib(u64),
    Text(String),
}

impl TryFrom<SizeForm> for SizeText {
    type Error = String;
    fn try_from(form: SizeForm) -> Result<Self, String> {
        match form {
            SizeForm::Mib(mib) => Ok(Self(ByteSize::mib(mib))),
            SizeForm::Text(text) => text.parse().map(Self).map_err(|e| format!("{e}")),
        }
    }
}

/// Every key there is, for suggestions.
const KEYS: [&str; 28] = [
    "log_level",
    "default_image",
    "engine",
    "ssh_key_path",
    "vm_defaults",
    "vcpu",
    "memory_mib",
    "disk_size",
    "overlay_size",
    "network",
    "mode",
    "stack",
    "egress",
    "allow",
    "deny",
    "dns",
    "file_sync",
    "host",
    "guest",
    "tmp",
    "ca_certificates",
    "ssh",
    "start_stopped",
    "vmm",
    "jail",
    "templates",
    "enabled",
    "quota",
];

impl Config {
    /// Reads the file; an absent one is an empty one.
    ///
    /// # Errors
    /// `invalid_argument` with file, line, key and, for an unknown key, the nearest known one.
    pub fn load(path: &Path) -> Result<Self, ApiError> {
        let invalid = |message: String| {
            ApiError::new(
                ErrorCode::InvalidArgument,
                format!("{}: {message}", path.display()),
            )
        };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(invalid(error.to_string())),
            Ok(meta) if meta.len() > MAX_BYTES => {
                return Err(invalid(format!("larger than {}", ByteSize(MAX_BYTES))));
            }
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
        Self::parse(&text).map_err(|error| ApiError {
            message: format!("{}: {}", path.display(), error.message),
            ..error
        })
    }

    /// Parses the text of a configuration file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let config: Self = toml::from_str(text).map_err(|error| explain(text, &error))?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ApiError> {
        let one_of = |key: &str, value: &Option<String>, allowed: &[&str]| match value {
            Some(value) if !allowed.contains(&value.as_str()) => Err(ApiError::new(
                ErrorCode::InvalidArgument,
                format!("{key} \"{value}\" is not known: use {}", allowed.join(", ")),
            )
            .hint(suggest::hint(value, allowed, ""))),
            _ => Ok(()),
        };
        one_of(
            "log_level",
            &self.log_level,
            &["error", "warn", "info", "debug", "trace"],
        )?;
        one_of("engine", &self.engine, &["auto", "qemu"])?;
        for (key, rules) in [("allow", &self.network.allow), ("deny", &self.network.deny)] {
            for text in rules {
                if let Err(error) = text.parse::<banger_egress::Rule>() {
                    let message = format!("network.{key}: rule \"{text}\": {error}");
                    return Err(ApiError::new(ErrorCode::InvalidArgument, message));
                }
            }
        }
        crate::file_sync::check(&self.file_sync)?;
        if self.vm_defaults.vcpu == Some(0) {
            return Err(ApiError::new(
                ErrorCode::InvalidArgument,
                "vm_defaults.vcpu is 0: a VM needs at least 1",
            ));
        }
        Ok(())
    }
}

/// The parser's message in one line, with the line's number and, for an unknown key, the nearest known one.
fn explain(text: &str, error: &toml::de::Error) -> ApiError {
    let line = error
        .span()
        .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let place = line
        .map(|line| format!("line {line}: "))
        .unwrap_or_default();
    let message = format!(
        "{place}{}",
        error.message().lines().next().unwrap_or_default()
    );
    let unknown = error
        .message()
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split('`').next());
    let error = ApiError::new(ErrorCode::InvalidArgument, message);
    match unknown {
        Some(key) => error.hint(suggest::hint(key, &KEYS, "")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        let error =
            Config::parse("log_level = \"info\"\n[vm_defaults]\nmemory_mb = 3\n").unwrap_err();
        assert!(error.message.contains("line 3"), "{error}");
        assert!(error.message.contains("memory_mb"), "{error}");
        assert_eq!(error.hint.as_deref(), Some("did you mean \"memory_mib\"?"));
    }

    #[test]
    fn a_file_that_was_written_for_the_first_build_is_read_in_every_key() {
        let seen = Config::parse(include_str!("../formats/v1/config.toml")).unwrap();
        let sync = |host: &str, guest: &str, mode: Option<&str>| FileSync {
            host: host.to_owned(),
            guest: guest.to_owned(),
            mode: mode.map(str::to_owned),
        };
        let wanted = Config {
            log_level: Some("debug".to_owned()),
            default_image: Some("debian-minimal".to_owned()),
            engine: Some("qemu".to_owned()),
            ssh_key_path: Some("/home/ann/.ssh/id_ed25519".to_owned()),
            vm_defaults: VmDefaults {
                vcpu: Some(3),
                memory_mib: Some(1536),
                disk_size: Some(SizeText(ByteSize::gib(12))),
                overlay_size: Some(SizeText(ByteSize::gib(4))),
            },
            network: Network {
                mode: Some(NetMode::None),
                stack: None,
                egress: None,
                allow: Vec::new(),
                deny: Vec::new(),
                dns: Some("192.0.2.53".parse().unwrap()),
                upstream_proxy: None,
                publish_auto: true,
                http_port: HTTP_PORT,
            },
            file_sync: vec![
                sync("~/.gitconfig", "~/.gitconfig", Some("0600")),
                sync("/etc/ssl/company", "/root/company", None),
            ],
            ..Config::default()
        };
        assert_eq!(seen, wanted);
    }

    #[test]
    fn sizes_are_text_or_mib() {
        let config =
            Config::parse("[vm_defaults]\ndisk_size = \"4G\"\noverlay_size = 512\n").unwrap();
        assert_eq!(
            config.vm_defaults.disk_size,
            Some(SizeText(ByteSize::gib(4)))
        );
        assert_eq!(
            config.vm_defaults.overlay_size,
            Some(SizeText(ByteSize::mib(512)))
        );
    }

    #[test]
    fn a_connection_starts_a_stopped_vm_unless_the_user_says_otherwise() {
        let starts = |text| Config::parse(text).unwrap().ssh.start_stopped;
        assert!(starts("") && starts("[ssh]\n"));
        assert!(!starts("[ssh]\nstart_stopped = false\n"));
    }

    #[test]
    fn the_jail_is_what_the_host_gives_unless_the_user_says_otherwise() {
        let jail = |text| Config::parse(text).unwrap().vmm.jail;
        assert_eq!(jail(""), JailMode::Auto);
        assert_eq!(jail("[vmm]\njail = \"require\""), JailMode::Require);
        assert_eq!(jail("[vmm]\njail = \"off\""), JailMode::Off);
    }

    #[test]
    fn bad_values_are_refused_with_what_is_allowed() {
        for (text, part) in [
            ("engine = \"xen\"", "auto, qemu"),
            ("log_level = \"loud\"", "error, warn"),
            ("[vm_defaults]\nvcpu = 0", "at least 1"),
            ("[vm_defaults]\ndisk_size = \"8X\"", "8X"),
            ("[network]\nmode = \"bridge\"", "bridge"),
            ("[network]\nstack = \"mine\"", "slirp"),
            ("[network]\negress = \"some\"", "public"),
            ("[network]\nallow = [\"a b\"]", "network.allow"),
            ("[vmm]\njail = \"full\"", "auto"),
            ("[guest]\nca_certificates = \"hosts\"", "use image, host"),
            ("x = [", "line 1"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }
}
