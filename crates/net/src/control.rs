//! Conversations with the daemon.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use banger_egress::{Destination, Enforcer, Name, Policy, Question};
use banger_net_control::{
    Check, Checked, ControlError, FailureCode, Hello, LineReader, PROTOCOL_MIN, PROTOCOL_VERSION,
    Reply, Request, Status,
};
use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::net::SendFlags;

use crate::audit_log::now_ms;
use crate::ends::Ends;
use crate::io::{Io, Owner, remove_stale};
use crate::lookups::Waiter;
use crate::peers;
use crate::places::Place;
use crate::process::Net;
use crate::secrets;

/// Conversations at once.
const CONVERSATIONS_MAX: usize = 32;
/// Bytes that wait for one that does not read; with more it is ended. All kept refusals fit.
const UNSENT_MAX_BYTES: usize = 4 << 20;

/// The socket, and those who talk.
pub(crate) struct Control {
    listener: UnixListener,
    conversations: HashMap<Token, Conversation>,
}

struct Conversation {
    stream: UnixStream,
    reader: LineReader,
    /// Lines that the other side has not taken yet.
    unsent: Vec<u8>,
    is_greeted: bool,
    follows: bool,
}

impl Conversation {
    /// Adds a line, and sends what the other side takes. False: it takes too little, or is gone.
    fn say(&mut self, reply: &Reply) -> bool {
        if serde_json::to_writer(&mut self.unsent, reply).is_err() {
            return false;
        }
        self.unsent.push(b'\n');
        self.send() && self.unsent.len() <= UNSENT_MAX_BYTES
    }

    /// Sends what the other side takes. False: it is gone.
    fn send(&mut self) -> bool {
        let mut sent = 0;
        let is_there = loop {
            if sent == self.unsent.len() {
                break true;
            }
            match rustix::net::send(&self.stream, &self.unsent[sent..], SendFlags::NOSIGNAL) {
                Ok(count) => sent += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => break error == rustix::io::Errno::AGAIN,
            }
        };
        self.unsent.drain(..sent);
        is_there
    }
}

/// Refusal of a request.
type Refused = (FailureCode, String);

impl Control {
    /// Listens in place of an earlier process.
    pub(crate) fn listen(path: &Path, io: &mut Io) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = UnixListener::bind(path)?;
        // The folder is the user's alone; so is the socket.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let token = io.token(Owner::Control);
        let fd = listener.as_raw_fd();
        io.registry()
            .register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        Ok(Self {
            listener,
            conversations: HashMap::new(),
        })
    }
}

impl Net {
    /// Takes conversations.
    pub(crate) fn accept_conversations(&mut self) {
        while let Ok((stream, _)) = self.control.listener.accept() {
            if self.control.conversations.len() >= CONVERSATIONS_MAX {
                continue;
            }
            let token = self.io.token(Owner::Conversation);
            let fd = stream.as_raw_fd();
            let watched = stream.set_nonblocking(true).and_then(|()| {
                let both = Interest::READABLE | Interest::WRITABLE;
                let registry = self.io.registry();
                registry.register(&mut SourceFd(&fd), token, both)
            });
            if watched.is_err() {
                self.io.forget(token);
                continue;
            }
            let conversation = Conversation {
                stream,
                reader: LineReader::default(),
                unsent: Vec::new(),
                is_greeted: false,
                follows: false,
            };
            self.control.conversations.insert(token, conversation);
        }
    }

    /// Goes on with a conversation.
    pub(crate) fn converse(&mut self, token: Token) {
        let conversation = self.control.conversations.get_mut(&token);
        if conversation.is_some_and(|one| !one.send()) {
            return self.hang_up(token);
        }
        loop {
            let Some(conversation) = self.control.conversations.get_mut(&token) else {
                return;
            };
            match conversation.reader.fill(&conversation.stream) {
                Ok(true) => {}
                Err(ControlError::Io(error)) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(false) | Err(_) => return self.hang_up(token),
            }
            while let Some(conversation) = self.control.conversations.get_mut(&token) {
                match conversation.reader.message::<Request>() {
                    Ok(None) => break,
                    Ok(Some(request)) => self.request(token, request),
                    Err(ControlError::Json(error)) => {
                        self.say(token, &failed(FailureCode::Malformed, error.to_string()));
                    }
                    Err(_) => return self.hang_up(token),
                }
            }
        }
    }

    fn hang_up(&mut self, token: Token) {
        if let Some(conversation) = self.control.conversations.remove(&token) {
            let fd = conversation.stream.as_raw_fd();
            self.io.unwatch(&mut SourceFd(&fd));
        }
        self.io.forget(token);
    }

    /// Answers; whoever does not read loses the conversation.
    fn say(&mut self, token: Token, reply: &Reply) {
        let conversation = self.control.conversations.get_mut(&token);
        if conversation.is_some_and(|one| !one.say(reply)) {
            self.hang_up(token);
        }
    }

    fn request(&mut self, token: Token, request: Request) {
        let is_hello = matches!(request, Request::Hello { .. });
        let conversation = self.control.conversations.get_mut(&token);
        let is_greeted = conversation.as_ref().is_some_and(|one| one.is_greeted);
        if !is_hello && !is_greeted {
            let words = "a conversation begins with hello".to_owned();
            return self.say(token, &failed(FailureCode::Protocol, words));
        }
        let reply = match request {
            Request::Hello { protocol } => self.hello(token, protocol),
            Request::SetPolicy { policy } => self.set_policy(policy),
            Request::SetNameServers { servers } => {
                self.resolver.servers.fix(servers);
                Ok(Reply::Done)
            }
            Request::Watch => self.watch(token),
            Request::SeeUsers => match self.descriptor(token) {
                Ok(netlink) => {
                    let seen = self.published.see_users(netlink);
                    seen.map(|()| Reply::Done).map_err(of_host)
                }
                Err(refused) => Err(refused),
            },
            Request::Publish { port } => match self.descriptor(token) {
                Ok(socket) => {
                    let adopted = self.published.adopt(port, socket, &mut self.io);
                    adopted.map(|()| Reply::Done).map_err(of_host)
                }
                Err(refused) => Err(refused),
            },
            Request::Unpublish { port } => {
                self.published.remove(port, &mut self.io);
                Ok(Reply::Done)
            }
            Request::Join { peer } => match self.descriptor(token) {
                Ok(socket) => {
                    let joined = self.peers.join(peer, socket, &mut self.io);
                    joined.map(|()| Reply::Done).map_err(of_host)
                }
                Err(refused) => Err(refused),
            },
            Request::Leave { peer } => {
                self.peers.leave(&peer, &mut self.io);
                Ok(Reply::Done)
            }
            Request::SetSecrets { uses } => match self.descriptor(token) {
                Ok(memory) => {
                    let set = self.set_secrets(uses, memory);
                    set.map(|()| Reply::Done)
                        .map_err(|words| (FailureCode::Malformed, words))
                }
                Err(refused) => Err(refused),
            },
            Request::Status => Ok(Reply::Status(Box::new(self.status()))),
            Request::Denials { after, follow } => return self.tell_denials(token, after, follow),
            Request::Check(check) => return self.check(token, check),
            Request::Stop => {
                self.ended = true;
                Ok(Reply::Done)
            }
        };
        let reply = reply.unwrap_or_else(|(code, message)| failed(code, message));
        self.say(token, &reply);
    }

    fn hello(&mut self, token: Token, protocol: u32) -> Result<Reply, Refused> {
        if protocol < PROTOCOL_MIN {
            let words = format!("protocol {protocol} is too old: {PROTOCOL_MIN} is the oldest");
            return Err((FailureCode::Protocol, words));
        }
        if let Some(conversation) = self.control.conversations.get_mut(&token) {
            conversation.is_greeted = true;
        }
        Ok(Reply::Hello(Hello {
            protocol: protocol.min(PROTOCOL_VERSION),
            token: self.config.launch_token.clone(),
            pid: std::process::id(),
            generation: self.gate.policy.generation,
            build: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    fn descriptor(&mut self, token: Token) -> Result<std::os::fd::OwnedFd, Refused> {
        let conversation = self.control.conversations.get_mut(&token);
        let found = conversation.and_then(|one| one.reader.descriptor());
        found.ok_or_else(|| {
            let words = "no descriptor came with the request".to_owned();
            (FailureCode::Descriptor, words)
        })
    }

    fn watch(&mut self, token: Token) -> Result<Reply, Refused> {
        let vmm = self.descriptor(token)?;
        self.watch_vmm(vmm).map_err(of_host)?;
        Ok(Reply::Done)
    }

    fn set_policy(&mut self, policy: Policy) -> Result<Reply, Refused> {
        let refused = |words: String| (FailureCode::Policy, words);
        policy
            .check_limits()
            .map_err(|error| refused(error.to_string()))?;
        let now = self.gate.policy.generation;
        if policy.generation < now || policy.generation == now && policy != self.gate.policy {
            let words = format!(
                "generation {} is not above {now}, which counts now",
                policy.generation
            );
            return Err(refused(words));
        }
        if let Some(first) = policy.check(Enforcer::Process).first() {
            return Err(refused(first.to_string()));
        }
        if policy != self.gate.policy {
            self.gate.set(policy);
        }
        let reset = self.enforce();
        Ok(Reply::PolicySet {
            generation: self.gate.policy.generation,
            reset,
        })
    }

    /// Ends what the policy does not allow any more; answers with the number of flows.
    pub(crate) fn enforce(&mut self) -> u32 {
        let flows = self.refused_flows();
        flows.iter().for_each(|key| self.cut(key));
        let pairs: Vec<Ends> = self
            .pairs
            .iter()
            .filter(|(_, pair)| !self.gate.ask(&pair.question).is_allowed())
            .map(|(pair, _)| *pair)
            .collect();
        pairs.iter().for_each(|pair| self.close_pair(pair));
        let gate = &self.gate;
        let is_allowed = |name: &Name| gate.ask(&Question::Lookup(name.clone())).is_allowed();
        let secrets = &self.secrets;
        let is_ours = |name: &Name| {
            let secret = secrets::secret_of(name);
            peers::vm_of(name).is_some()
                || secret.is_some_and(|secret| secrets.use_of(&secret).is_some())
        };
        match gate.policy.binds_names() {
            true => self.names.keep(|name| is_ours(name) || is_allowed(name)),
            // What was bound is not any more, but for the names of VMs and endpoints.
            false => self.names.keep(is_ours),
        }
        u32::try_from(flows.len() + pairs.len()).unwrap_or(u32::MAX)
    }

    /// Lets rules end whose time is over.
    pub(crate) fn end_rules(&mut self) {
        let now = now_ms() / 1000;
        let end = self.rules_end;
        self.rules_end = self.gate.policy.next_end(now);
        if end.is_some_and(|end| end <= now) {
            self.enforce();
        }
    }

    fn status(&mut self) -> Status {
        let now = self.now;
        let mut counters = self.gate.counters;
        counters.frames_out = self.link.frames_out;
        for flow in self.flows.values() {
            counters.sent_bytes += flow.sent;
            counters.received_bytes += flow.received;
        }
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let since = now.saturating_duration_since(self.started);
        Status {
            generation: self.gate.policy.generation,
            uptime_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            watches_vmm: self.vmm.is_some(),
            tcp: count(self.flows.len() - self.half_open.min(self.flows.len())),
            half_open: count(self.half_open),
            udp: count(self.pairs.len()),
            names: count(self.names.len()),
            buffer_bytes: self.held_bytes as u64,
            counters,
            publish: self.published.status(),
            peers: self.peers.names().cloned().collect(),
            name_servers: self.resolver.servers.now(now).to_vec(),
        }
    }

    fn tell_denials(&mut self, token: Token, after: u64, follow: bool) {
        let known: Vec<_> = self.gate.denials(after).cloned().collect();
        for record in known {
            self.say(token, &Reply::Denial(Box::new(record)));
        }
        match self.control.conversations.get_mut(&token) {
            Some(conversation) if follow => conversation.follows = true,
            _ => self.say(token, &Reply::Done),
        }
    }

    /// Tells those who follow what was refused since.
    pub(crate) fn tell_followers(&mut self) {
        let untold = std::mem::take(&mut self.gate.untold);
        if untold.is_empty() {
            return;
        }
        let follows = |(token, one): (&Token, &Conversation)| one.follows.then_some(*token);
        let followers: Vec<Token> = self
            .control
            .conversations
            .iter()
            .filter_map(follows)
            .collect();
        for token in followers {
            for record in &untold {
                self.say(token, &Reply::Denial(Box::new(record.clone())));
            }
        }
    }

    fn check(&mut self, token: Token, check: Check) {
        if check.target == "host" {
            let destination = Destination::Host;
            return self.say_verdict(token, &check, destination, Vec::new());
        }
        if let Some(Ok(vm)) = check.target.strip_prefix("vm:").map(str::parse) {
            return self.say_verdict(token, &check, Destination::Vm(vm), Vec::new());
        }
        if let Ok(address) = check.target.parse::<IpAddr>() {
            return match self.place(check.protocol, address, check.port) {
                Place::At(candidates) => {
                    let verdicts = candidates.into_iter().take(1);
                    for (question, _) in verdicts {
                        let checked = Checked {
                            addresses: vec![address],
                            verdict: self.gate.ask(&question),
                        };
                        self.say(token, &Reply::Checked(checked));
                    }
                }
                Place::Secret(secret) => self.say(token, &of_endpoint(secret.as_str())),
                Place::Peer(vm) => {
                    let destination = Destination::Vm(vm);
                    self.say_verdict(token, &check, destination, vec![address]);
                }
                Place::Named(name, _) => self.find(name, Waiter::Check(token, check)),
            };
        }
        let name: Name = match check.target.parse() {
            Ok(name) => name,
            Err(error) => {
                let words = format!("{error}");
                return self.say(token, &failed(FailureCode::Malformed, words));
            }
        };
        if secrets::is_of_endpoints(&name) {
            return self.say(token, &of_endpoint(name.as_str()));
        }
        let lookup = self.gate.ask(&Question::Lookup(name.clone()));
        match lookup.is_allowed() {
            true => self.find(name, Waiter::Check(token, check)),
            // A name that may not be looked up is not looked up for a check either.
            false => {
                let checked = Checked {
                    addresses: Vec::new(),
                    verdict: lookup,
                };
                self.say(token, &Reply::Checked(checked));
            }
        }
    }

    fn say_verdict(
        &mut self,
        token: Token,
        check: &Check,
        destination: Destination,
        addresses: Vec<IpAddr>,
    ) {
        let question = Question::Open {
            protocol: check.protocol,
            destination,
            port: check.port,
        };
        let verdict = self.gate.ask(&question);
        self.say(token, &Reply::Checked(Checked { addresses, verdict }));
    }

    /// Answers a check when the host has found the addresses of its name.
    pub(crate) fn checked(&mut self, token: Token, check: &Check, name: &Name, found: &[IpAddr]) {
        let candidates = self.candidates(check.protocol, name, found, check.port);
        let verdicts = candidates
            .iter()
            .map(|(question, _)| self.gate.ask(question));
        let verdicts: Vec<_> = verdicts.collect();
        let best = verdicts
            .iter()
            .find(|one| one.is_allowed())
            .or(verdicts.first());
        let reply = match best {
            Some(verdict) => Reply::Checked(Checked {
                addresses: found.to_vec(),
                verdict: verdict.clone(),
            }),
            None => failed(FailureCode::Host, format!("{name} has no address")),
        };
        self.say(token, &reply);
    }
}

fn of_host(error: io::Error) -> Refused {
    (FailureCode::Host, error.to_string())
}

fn of_endpoint(name: &str) -> Reply {
    let words = format!("{name} is the endpoint of a secret: check the secret's host");
    failed(FailureCode::Malformed, words)
}

fn failed(code: FailureCode, message: String) -> Reply {
    Reply::Failed { code, message }
}
