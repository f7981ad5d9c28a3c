//! Cause of a QEMU's failed start: its own message, as an error that names the thing.

use std::io;
use std::net::TcpListener;
use std::process::ExitStatus;

use super::launch::Launch;
use super::{command_line, end, files};
use crate::text::tail;
use crate::{EngineError, NetSpec, Publish, VmmSpec};

/// Bytes of the log that are read.
const LOG_BYTES: u64 = 16 * 1024;

/// Returns `error`, unless QEMU ended: then the error in QEMU's message.
pub(super) fn explain(
    error: EngineError,
    spec: &VmmSpec,
    launch: &Launch,
    status: Option<ExitStatus>,
) -> EngineError {
    let EngineError::Gone { .. } = error else {
        return error;
    };
    let log = tail(&spec.dir.join(files::LOG), LOG_BYTES).unwrap_or_default();
    let message = end::log_message(&log);
    if let Some(port) = refused_port(&message, &spec.net) {
        return port_error(port);
    }
    if message.contains("cannot set up guest memory") || message.contains("Cannot allocate memory")
    {
        return EngineError::GuestMemory {
            memory_mib: spec.memory_mib,
            message,
        };
    }
    EngineError::Start {
        program: launch.program.display().to_string(),
        status: status.map_or_else(|| "status unknown".to_owned(), |status| status.to_string()),
        message: if message.is_empty() {
            "it said nothing".to_owned()
        } else {
            message
        },
    }
}

/// Port in QEMU's message: "Could not set up host forwarding rule 'tcp:127.0.0.1:8080-:80'".
fn refused_port(message: &str, net: &NetSpec) -> Option<Publish> {
    let NetSpec::User { publish, .. } = net else {
        return None;
    };
    let (_, rule) = message.split_once("host forwarding rule '")?;
    let (rule, _) = rule.split_once('\'')?;
    publish
        .iter()
        .find(|port| command_line::forward_rule(port) == rule)
        .copied()
}

/// Finds the reason by a listen of its own, because QEMU does not give it.
fn port_error(port: Publish) -> EngineError {
    let Publish {
        host_ip: ip,
        host_port,
        ..
    } = port;
    match TcpListener::bind((ip, host_port)) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => EngineError::PortTaken {
            ip,
            port: host_port,
        },
        Err(source) => EngineError::Port {
            ip,
            port: host_port,
            source,
        },
        // Free by now: it was taken a moment ago.
        Ok(_) => EngineError::PortTaken {
            ip,
            port: host_port,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn published(host_port: u16) -> NetSpec {
        let publish = vec![Publish {
            host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host_port,
            guest_port: 80,
        }];
        NetSpec::User {
            mac: [2, 0, 0, 0, 0, 1],
            egress: false,
            publish,
        }
    }

    #[test]
    fn only_the_port_that_qemu_names_is_blamed() {
        let said =
            "-netdev user,id=net: Could not set up host forwarding rule 'tcp:127.0.0.1:8080-:80'";
        assert_eq!(
            refused_port(said, &published(8080)).map(|p| p.host_port),
            Some(8080)
        );
        assert_eq!(refused_port(said, &published(808)), None);
        assert_eq!(refused_port(said, &NetSpec::None), None);
        assert_eq!(
            refused_port("host forwarding rule 'tcp", &published(8080)),
            None
        );
    }

    #[test]
    fn an_address_that_is_not_the_hosts_is_not_called_taken() {
        // 192.0.2.0/24 is for documentation (RFC 5737): on no host.
        let port = Publish {
            host_ip: IpAddr::from([192, 0, 2, 1]),
            host_port: 8080,
            guest_port: 80,
        };
        assert!(matches!(
            port_error(port),
            EngineError::Port { port: 8080, .. }
        ));
    }
}
