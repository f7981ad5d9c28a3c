//! The file's text as checked properties. Variables are still in it.

use std::collections::BTreeMap;

use jsonc_parser::ParseOptions;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::commands::Commands;
use super::error::DevcontainerError;
use super::variables::is_name;

/// Variables of one object.
const MAX_VARIABLES: usize = 256;
/// Bytes of one text.
const MAX_TEXT: usize = 32 * 1024;
/// Bytes of all texts of one object.
const MAX_TEXTS: usize = 128 * 1024;
/// Rules of the network.
const MAX_RULES: usize = 256;
/// Ports.
const MAX_PORTS: usize = 64;
/// Properties that mean nothing for a VM: settings of editors, and things that VMs always do.
const OF_NO_CONCERN: &[&str] = &[
    "$schema",
    "devPort",
    "extensions",
    "name",
    "otherPortsAttributes",
    "overrideCommand",
    "portsAttributes",
    "settings",
    "shutdownAction",
    "updateRemoteUserUID",
    "userEnvProbe",
    "waitFor",
];
/// Properties that make an image instead of naming one.
const BUILDS: &[&str] = &["build", "dockerFile", "dockerfile", "dockerComposeFile"];
/// Commands that run in the guest once, in the order in which they run.
const COMMANDS: &[&str] = &[
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
];

/// The image that a file asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// None in particular.
    Unsaid,
    /// By its name.
    Named(String),
    /// One that is to be built; the property that says so.
    Built(String),
}

/// What of its VM's network a repository wants to be left: it can only narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkWishes {
    /// What is reached without a rule: public, all, none or list.
    pub egress: Option<String>,
    /// Rules that allow.
    pub allow: Vec<String>,
    /// Rules that deny.
    pub deny: Vec<String>,
}

/// A file's wishes, before variables have values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devcontainer {
    /// The image.
    pub image: Image,
    /// `containerEnv`.
    pub(super) env: BTreeMap<String, String>,
    /// `remoteEnv`, whose values may name variables of the guest.
    pub(super) remote_env: BTreeMap<String, String>,
    /// `remoteUser`, else `containerUser`.
    pub(super) user: Option<String>,
    /// Commands that run once, in order, with the names of their properties.
    pub(super) commands: Vec<(String, Commands)>,
    /// `forwardPorts`, those of the guest itself.
    pub(super) ports: Vec<u16>,
    /// `customizations.banger.network`: what of the network it wants to be left.
    pub(super) network: Option<NetworkWishes>,
    /// Properties that are not supported, in the file's own words.
    pub(super) unused: Vec<String>,
}

impl Devcontainer {
    /// Parses the file's bytes.
    ///
    /// # Errors
    /// It is no JSON with comments, or a property used here has a wrong type or value.
    pub fn parse(bytes: &[u8]) -> Result<Self, DevcontainerError> {
        let text = std::str::from_utf8(bytes).map_err(DevcontainerError::NoText)?;
        // A byte order mark is no part of JSON, but some editors write one (RFC 8259, 8.1).
        let text = text.trim_start_matches('\u{feff}');
        let options = ParseOptions {
            allow_comments: true,
            allow_trailing_commas: true,
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let mut fields: Map<String, Value> = jsonc_parser::parse_to_serde_value(text, &options)
            .map_err(DevcontainerError::Syntax)?;
        fields.retain(|name, value| !value.is_null() && !OF_NO_CONCERN.contains(&name.as_str()));
        let mut unused = Vec::new();
        let container_user = word(&mut fields, "containerUser")?;
        let mut file = Self {
            image: image(&mut fields)?,
            env: variables(&mut fields, "containerEnv", &mut unused)?,
            remote_env: variables(&mut fields, "remoteEnv", &mut unused)?,
            user: word(&mut fields, "remoteUser")?.or(container_user),
            commands: Vec::new(),
            ports: ports(&mut fields, &mut unused)?,
            network: network(&mut fields)?,
            unused,
        };
        for name in COMMANDS {
            let asked = fields.remove(*name);
            if let Some(commands) = asked.map_or(Ok(None), |value| Commands::of(name, &value))? {
                file.commands.push(((*name).to_owned(), commands));
            }
        }
        file.unused.extend(fields.into_iter().map(|(name, _)| name));
        Ok(file)
    }
}

/// Part of `customizations` that is banger's; the rest is for editors.
fn network(fields: &mut Map<String, Value>) -> Result<Option<NetworkWishes>, DevcontainerError> {
    let name = "customizations.banger.network";
    let customizations = fields.remove("customizations");
    let found = customizations
        .as_ref()
        .and_then(|all| all.get("banger")?.get("network"));
    let Some(found) = found.filter(|found| !found.is_null()) else {
        return Ok(None);
    };
    let network: NetworkWishes = serde_json::from_value(found.clone())
        .map_err(|error| DevcontainerError::property(name, short(&error.to_string())))?;
    let rules = network.allow.iter().chain(&network.deny);
    if rules.clone().count() > MAX_RULES {
        let why = format!("has more than {MAX_RULES} rules");
        return Err(DevcontainerError::property(name, why));
    }
    for rule in rules {
        check_text(name, rule)?;
    }
    Ok(Some(network))
}

fn image(fields: &mut Map<String, Value>) -> Result<Image, DevcontainerError> {
    let built = BUILDS.iter().find(|name| fields.contains_key(**name));
    let named = word(fields, "image")?;
    Ok(match (built, named) {
        (Some(name), _) => {
            // These belong to the build: they are not reported one by one.
            for name in [
                "build",
                "dockerFile",
                "dockerfile",
                "dockerComposeFile",
                "context",
            ] {
                fields.remove(name);
            }
            Image::Built((*name).to_owned())
        }
        (None, Some(name)) => Image::Named(name),
        (None, None) => Image::Unsaid,
    })
}

/// One short text.
fn word(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, DevcontainerError> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => check_text(name, &text).map(|()| Some(text)),
        Some(_) => Err(DevcontainerError::property(name, "must be a string")),
    }
}

fn variables(
    fields: &mut Map<String, Value>,
    name: &str,
    unused: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, DevcontainerError> {
    let Some(value) = fields.remove(name) else {
        return Ok(BTreeMap::new());
    };
    let Value::Object(object) = value else {
        return Err(DevcontainerError::property(name, "must be an object"));
    };
    let mut variables = BTreeMap::new();
    for (key, value) in object {
        if !is_name(&key) {
            let key = short(&key);
            let why = format!("\"{key}\" is no name for a variable");
            return Err(DevcontainerError::property(name, why));
        }
        match value {
            Value::String(text) => {
                variables.insert(key, text);
            }
            Value::Bool(_) | Value::Number(_) => {
                variables.insert(key, value.to_string());
            }
            // It takes a variable away: no command of a guest can be started that way.
            Value::Null => unused.push(format!("{name}.{key}: null")),
            _ => {
                return Err(DevcontainerError::property(
                    format!("{name}.{key}"),
                    "must be a string",
                ));
            }
        }
    }
    check_variables(name, &variables)?;
    Ok(variables)
}

/// Limits of one object of variables.
pub(super) fn check_variables(
    name: &str,
    variables: &BTreeMap<String, String>,
) -> Result<(), DevcontainerError> {
    for (key, value) in variables {
        check_text(&format!("{name}.{key}"), value)?;
    }
    let bytes: usize = variables
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if variables.len() > MAX_VARIABLES || bytes > MAX_TEXTS {
        let why = format!("has more than {MAX_VARIABLES} variables or {MAX_TEXTS} bytes");
        return Err(DevcontainerError::property(name, why));
    }
    Ok(())
}

/// Limits of one text.
fn check_text(name: &str, text: &str) -> Result<(), DevcontainerError> {
    if text.len() > MAX_TEXT {
        let why = format!("has more than {MAX_TEXT} bytes");
        return Err(DevcontainerError::property(name, why));
    }
    if text.contains('\0') {
        return Err(DevcontainerError::property(name, "has a NUL character"));
    }
    Ok(())
}

/// Text of the file for a message: one short line.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Numbers, and `localhost:number`; of another host's ports nothing is known here.
fn ports(
    fields: &mut Map<String, Value>,
    unused: &mut Vec<String>,
) -> Result<Vec<u16>, DevcontainerError> {
    let name = "forwardPorts";
    let Some(value) = fields.remove(name) else {
        return Ok(Vec::new());
    };
    let wrong = || {
        let why = "must be a list of ports, 1 to 65535, or \"host:port\"";
        DevcontainerError::property(name, why)
    };
    let Value::Array(values) = value else {
        return Err(wrong());
    };
    if values.len() > MAX_PORTS {
        let why = format!("has more than {MAX_PORTS} ports");
        return Err(DevcontainerError::property(name, why));
    }
    let mut ports = Vec::new();
    for value in values {
        let port = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => {
                let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
                if !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
                    unused.push(format!("{name}: \"{}\"", short(text)));
                    continue;
                }
                port.parse().ok()
            }
            _ => None,
        };
        let port = port.and_then(|port| u16::try_from(port).ok());
        let port = port.filter(|port| *port != 0).ok_or_else(wrong)?;
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    Ok(ports)
}
