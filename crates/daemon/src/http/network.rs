//! Rules of VMs' networks, their audit logs, and refusals as they happen.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body as Bytes, Bytes as Chunk};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use banger_api::error::ErrorBody;
use banger_api::network::{ChangeNetwork, CheckNetwork, NetProcess, NetVerdict, VmNetwork};
use banger_api::vm::VmState;
use banger_api::{ApiError, ErrorCode, VmId};
use banger_control::{find_vm, vm};
use banger_egress::{Protocol, Verdict};
use banger_net_control::{Check, Client, Record, read_audit};
use banger_ops::HostResult;
use banger_store::VmRecord;
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::answer::{Answer, Failed, answer, blocking};
use super::body::Body;
use crate::context::Daemon;
use crate::failure::chain;
use crate::host::conversation;

/// Longest wait for an answer of a network process: it may have to look a name up.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Pause before a process that has been replaced is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Refusals that wait for a slow reader.
const WAITING: usize = 256;

/// The rules of a VM's network, and the state of its process.
#[utoipa::path(get, path = "/v1/vms/{ref}/network", tag = "vms", params(("ref" = String, Path)),
    responses((status = 200, body = VmNetwork), (status = "default", body = ErrorBody)))]
pub(super) async fn show(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
) -> Answer<VmNetwork> {
    answer(move || shown(&find_vm(&daemon.control, &reference)?)).await
}

/// Change what a VM may reach. It holds at once.
#[utoipa::path(patch, path = "/v1/vms/{ref}/network", tag = "vms", params(("ref" = String, Path)),
    request_body = ChangeNetwork,
    responses((status = 200, body = VmNetwork), (status = "default", body = ErrorBody)))]
pub(super) async fn change(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(request): Body<ChangeNetwork>,
) -> Answer<VmNetwork> {
    answer(move || vm::change_network(&daemon.control, &reference, &request)).await
}

/// Ask what the present rules say about a destination.
#[utoipa::path(post, path = "/v1/vms/{ref}/network/check", tag = "vms", params(("ref" = String, Path)),
    request_body = CheckNetwork,
    responses((status = 200, body = NetVerdict), (status = "default", body = ErrorBody)))]
pub(super) async fn check(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(request): Body<CheckNetwork>,
) -> Answer<NetVerdict> {
    answer(move || {
        let check = question(&request.target)?;
        let record = find_vm(&daemon.control, &reference)?;
        let checked = client(&record)?
            .check(check)
            .map_err(|error| failed(&error))?;
        let (reason, rule_to_add) = match &checked.verdict {
            Verdict::Allow(grounds) => (granted(grounds), None),
            Verdict::Deny(denial) => (denial.to_string(), denial.rule_to_add.as_ref()),
        };
        Ok(NetVerdict {
            allowed: checked.verdict.is_allowed(),
            reason,
            rule_to_add: rule_to_add.map(ToString::to_string),
            addresses: checked.addresses,
        })
    })
    .await
}

/// The audit log of a VM's network: one JSON line an event, each with the hash of the one before.
#[utoipa::path(get, path = "/v1/vms/{ref}/network/log", tag = "vms", params(("ref" = String, Path)),
    responses((status = 200, content_type = "application/x-ndjson", body = String), (status = "default", body = ErrorBody)))]
pub(super) async fn log(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
) -> Result<Response, Failed> {
    let text = blocking(move || {
        let record = find_vm(&daemon.control, &reference)?;
        let folder = daemon.paths.vm(record.id).state;
        read_audit(&folder).map_err(|error| {
            let message = format!("audit log of \"{}\": {error}", record.name);
            ApiError::new(ErrorCode::Internal, message)
        })
    })
    .await?;
    Ok((NDJSON, text).into_response())
}

const NDJSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/x-ndjson")];

/// The part of the refusals.
#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    after: u64,
}

/// Refusals of a VM's network, the last ones first and then as they happen, until the VM stops.
#[utoipa::path(get, path = "/v1/vms/{ref}/network/denials", tag = "vms",
    params(("ref" = String, Path), ("after" = Option<u64>, Query)),
    responses((status = 200, content_type = "application/x-ndjson", body = String), (status = "default", body = ErrorBody)))]
pub(super) async fn denials(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Failed> {
    let (record, first) = blocking({
        let daemon = daemon.clone();
        move || {
            let record = find_vm(&daemon.control, &reference)?;
            let first = client(&record)?;
            Ok((record, first))
        }
    })
    .await?;
    let (give, lines) = mpsc::channel(WAITING);
    let wait = Wait::default();
    let thread = Follower {
        daemon,
        vm: record.id,
        after: which.after,
        give,
        wait: wait.clone(),
    };
    // It waits for as long as somebody listens: no thread of the pool is kept for that.
    std::thread::Builder::new()
        .name("denials".to_owned())
        .spawn(move || thread.run(first))
        .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?;
    let stream = futures::stream::unfold((lines, wait), |(mut lines, wait)| async move {
        lines.recv().await.map(|line: Chunk| (line, (lines, wait)))
    });
    let stream = stream.map(Ok::<_, std::convert::Infallible>);
    Ok((NDJSON, Bytes::from_stream(stream)).into_response())
}

/// The stream that a thread waits at: whoever has listened shuts it down.
#[derive(Clone, Default)]
struct Wait(Arc<Mutex<Listening>>);

#[derive(Default)]
struct Listening {
    stream: Option<UnixStream>,
    is_over: bool,
}

impl Wait {
    /// The thread will wait at this stream; false when nobody listens any more.
    fn at(&self, stream: UnixStream) -> bool {
        let mut listening = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listening.stream = Some(stream);
        !listening.is_over
    }
}

/// Ends the thread when the last listener goes. The thread's own clone is dropped by it.
impl Drop for Wait {
    fn drop(&mut self) {
        let mut listening = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listening.is_over = true;
        if let Some(stream) = listening.stream.take() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

struct Follower {
    daemon: Daemon,
    vm: VmId,
    after: u64,
    give: mpsc::Sender<Chunk>,
    wait: Wait,
}

impl Follower {
    /// Passes refusals on until nobody listens or the VM does not run; over the replacements of its process.
    fn run(mut self, first: Client) {
        let mut client = Some(first);
        while !self.give.is_closed() {
            match client.take() {
                Some(client) => self.pass(client),
                None => std::thread::sleep(LOOK_AGAIN),
            }
            let found = self.daemon.read(|db| banger_store::vm::by_id(db, self.vm));
            match found {
                Ok(Some(record)) if record.state == VmState::Running => {
                    client = self::client(&record).ok();
                }
                _ => return,
            }
        }
    }

    fn pass(&mut self, client: Client) {
        let Ok(following) = client.follow(self.after) else {
            return;
        };
        let Ok(stream) = following.stream() else {
            return;
        };
        if !self.wait.at(stream) {
            return;
        }
        for record in following {
            let Ok(record) = record else { return };
            self.after = record.seq;
            if self.give.blocking_send(line(&record)).is_err() {
                return;
            }
        }
    }
}

fn line(record: &Record) -> Chunk {
    let mut line = serde_json::to_vec(record).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn shown(record: &VmRecord) -> HostResult<VmNetwork> {
    let process = match client(record) {
        Ok(mut client) => Some(process(&mut client)?),
        Err(_) => None,
    };
    Ok(VmNetwork {
        process,
        ..vm::network_view(record)
    })
}

fn process(client: &mut Client) -> HostResult<NetProcess> {
    let status = client.status().map_err(|error| failed(&error))?;
    let unpublished = status.publish.into_iter().filter_map(|one| {
        let cause = one.failure?;
        Some(format!(
            "{}:{}: {cause}",
            one.port.host_ip, one.port.host_port
        ))
    });
    Ok(NetProcess {
        pid: client.hello().pid,
        generation: status.generation,
        uptime_ms: status.uptime_ms,
        connections: status.tcp,
        denied: status.counters.denied,
        sent_bytes: status.counters.sent_bytes,
        received_bytes: status.counters.received_bytes,
        name_servers: status.name_servers,
        unpublished: unpublished.collect(),
    })
}

/// A conversation with a VM's network process.
fn client(record: &VmRecord) -> HostResult<Client> {
    let name = &record.name;
    if !record.has_net_process() {
        let message = format!("VM \"{name}\" has no network process: its network is QEMU's own");
        return Err(ApiError::new(ErrorCode::WrongState, message).hint(
            "stack = \"own\" below [network] in config.toml gives new VMs one, from QEMU 7.2 on",
        ));
    }
    let gone = || {
        let message = format!("VM \"{name}\" is {}: no network process runs", record.state);
        ApiError::new(ErrorCode::WrongState, message).hint(format!("banger vm start {name}"))
    };
    let net = record.network.process.as_ref().ok_or_else(gone)?;
    conversation(net, ANSWER_WITHIN)?.ok_or_else(gone)
}

fn failed(error: &banger_net_control::ControlError) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("the network process: {}", chain(error)),
    )
}

fn granted(grounds: &banger_egress::Grounds) -> String {
    match grounds {
        banger_egress::Grounds::Egress(egress) => format!("egress {egress} allows it"),
        banger_egress::Grounds::Rule(rule) => format!("rule \"{rule}\" allows it"),
    }
}

/// A question from its text: `[PROTOCOL:]TARGET:PORT`.
fn question(text: &str) -> HostResult<Check> {
    let bad = || {
        let message = format!("\"{text}\" is no destination");
        ApiError::new(ErrorCode::InvalidArgument, message)
            .hint("write NAME:PORT, ADDRESS:PORT or host:PORT, with udp: before it for UDP")
    };
    let (protocol, rest) = match text.split_once(':') {
        Some(("tcp", rest)) => (Protocol::Tcp, rest),
        Some(("udp", rest)) => (Protocol::Udp, rest),
        Some(("icmp", rest)) => (Protocol::Icmp, rest),
        _ => (Protocol::Tcp, text),
    };
    if protocol == Protocol::Icmp {
        let target = rest.trim_matches(['[', ']']).to_owned();
        return Ok(Check {
            protocol,
            target,
            port: 0,
        });
    }
    let (target, port) = rest.rsplit_once(':').ok_or_else(bad)?;
    let port = port
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(bad)?;
    let target = target.trim_matches(['[', ']']);
    match target.is_empty() {
        true => Err(bad()),
        false => Ok(Check {
            protocol,
            target: target.to_owned(),
            port,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_destination_with_its_port() {
        let of = |text: &str| {
            let check = question(text).ok()?;
            Some((check.protocol, check.target, check.port))
        };
        let tcp = |target: &str, port| Some((Protocol::Tcp, target.to_owned(), port));
        assert_eq!(of("github.com:443"), tcp("github.com", 443));
        assert_eq!(of("[2001:db8::1]:22"), tcp("2001:db8::1", 22));
        assert_eq!(of("host:5432"), tcp("host", 5432));
        let udp = Some((Protocol::Udp, "time.example".to_owned(), 123));
        assert_eq!(of("udp:time.example:123"), udp);
        for text in ["", "github.com", "github.com:0", "github.com:https", ":443"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
