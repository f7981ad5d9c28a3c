//! The process: one thread, one poll.
//!
//! ```text
//! link ─► frames ─► ARP, NDP, ICMP      answered here
//!                 ├► TCP ─► flows        a connection of smoltcp ◄─► a socket of the host
//!                 ├► UDP ─► pairs        a socket of the host for each pair of addresses
//!                 └► port 53 ─► lookups  the host's name servers
//! every new destination ─► the gate (policy, log) ─► a socket, or a refusal that the guest sees at once
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use banger_net_control::NetConfig;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::audit_log::{AuditLog, now_ms};
use crate::control::Control;
use crate::datagrams::{PairState, Ping};
use crate::ends::Ends;
use crate::flow::Flow;
use crate::gate::Gate;
use crate::host::Servers;
use crate::io::{Io, Owner};
use crate::limits::{self, Rate};
use crate::link::{FRAME_MAX_BYTES, Link};
use crate::lookups::Finding;
use crate::names::Names;
use crate::packet::{self, Frame};
use crate::peers::Peers;
use crate::published::Published;
use crate::resolver::Resolver;
use crate::secrets::Secrets;

/// Frames of the guest's that are taken before others have their turn.
const FRAMES_A_TURN: usize = 64;
/// Time between two looks for what is unused.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Idle time after which freed memory is given back to the host.
const TRIM_AFTER: Duration = Duration::from_secs(2);

/// Everything of one process.
pub(crate) struct Net {
    pub(crate) config: NetConfig,
    pub(crate) io: Io,
    pub(crate) link: Link,
    pub(crate) gate: Gate,
    pub(crate) started: Instant,
    pub(crate) now: Instant,
    pub(crate) flows: HashMap<Ends, Box<Flow>>,
    /// Flows that may have something to move.
    pub(crate) dirty: HashSet<Ends>,
    /// Times of smoltcp at which a flow wants to be called.
    pub(crate) due: BTreeSet<(i64, Ends)>,
    /// Times at which connects of the host have taken too long.
    pub(crate) connecting: BTreeSet<(Instant, Ends)>,
    /// Room for one datagram of the host's, kept while there are pairs.
    pub(crate) datagram: Vec<u8>,
    pub(crate) half_open: usize,
    pub(crate) held_bytes: usize,
    pub(crate) failures: Rate,
    pub(crate) lookups: Rate,
    pub(crate) pairs: BTreeMap<Ends, PairState>,
    pub(crate) pings: HashMap<Token, Ping>,
    pub(crate) names: Names,
    pub(crate) resolver: Resolver,
    pub(crate) finding: HashMap<banger_egress::Name, Finding>,
    pub(crate) published: Published,
    pub(crate) peers: Peers,
    pub(crate) secrets: Secrets,
    pub(crate) control: Control,
    pub(crate) vmm: Option<OwnedFd>,
    pub(crate) ended: bool,
    /// The next end of a rule, when it was looked for last.
    pub(crate) rules_end: Option<u64>,
    swept: Instant,
    /// Time of the last end of a flow whose memory has not been given back.
    pub(crate) freed: Option<Instant>,
}

impl Net {
    fn new(config: NetConfig, poll: &Poll) -> io::Result<Self> {
        let mut io = Io::new(poll.registry().try_clone()?);
        let token = io.token(Owner::Link);
        let link = Link::bind(
            &config.link.own,
            &config.link.peer,
            banger_net_control::GATEWAY_MAC,
            config.guest.mac,
            io.registry(),
            token,
        )?;
        let control = Control::listen(&config.control, &mut io)?;
        let log = AuditLog::open(config.audit.as_deref())?;
        let mut gate = Gate::new(config.policy.clone(), log);
        let secrets = Secrets::new(&config.secrets);
        gate.grant(secrets.rules());
        let servers = Servers::new(&config.dns.resolv_conf, config.dns.servers.clone());
        let published = Published::listen(&config.publish, &mut io);
        let now = Instant::now();
        Ok(Self {
            io,
            link,
            gate,
            started: now,
            now,
            flows: HashMap::new(),
            dirty: HashSet::new(),
            due: BTreeSet::new(),
            connecting: BTreeSet::new(),
            datagram: Vec::new(),
            half_open: 0,
            held_bytes: 0,
            failures: Rate::new(limits::FAILURES_A_SECOND, limits::FAILURES_AT_ONCE, now),
            lookups: Rate::new(limits::LOOKUPS_A_SECOND, limits::LOOKUPS_AT_ONCE, now),
            pairs: BTreeMap::new(),
            pings: HashMap::new(),
            names: Names::default(),
            resolver: Resolver::new(servers),
            finding: HashMap::new(),
            published,
            peers: Peers::default(),
            secrets,
            control,
            vmm: None,
            ended: false,
            rules_end: None,
            swept: now,
            freed: None,
            config,
        })
    }

    /// Time of smoltcp.
    pub(crate) fn tcp_now(&self) -> smoltcp::time::Instant {
        let since = self.now.saturating_duration_since(self.started);
        // From 1 s on: 0 is its word for "never".
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX / 2);
        smoltcp::time::Instant::from_micros(micros + 1_000_000)
    }

    /// Ends with the process that this pidfd is of.
    pub(crate) fn watch_vmm(&mut self, vmm: OwnedFd) -> io::Result<()> {
        let token = self.io.token(Owner::Vmm);
        let fd = vmm.as_raw_fd();
        let registry = self.io.registry();
        registry.register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        self.vmm = Some(vmm);
        Ok(())
    }

    /// The gateway of an address's family; also what ICMP comes from.
    pub(crate) fn gateway(&self, of: IpAddr) -> Option<IpAddr> {
        match of {
            IpAddr::V4(_) => Some(self.config.guest.v4.gateway.into()),
            IpAddr::V6(_) => self.config.guest.v6.map(|v6| v6.gateway.into()),
        }
    }

    fn run(&mut self, poll: &mut Poll) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut frame = vec![0; FRAME_MAX_BYTES];
        let mut link_ready = true;
        while !self.ended {
            let within = match link_ready || !self.dirty.is_empty() {
                true => Some(Duration::ZERO),
                false => self.within(),
            };
            match poll.poll(&mut events, within) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            self.now = Instant::now();
            for event in &events {
                match self.io.owner(event.token()) {
                    Some(Owner::Link) => link_ready = true,
                    Some(owner) => self.ready(owner, event.token()),
                    None => {}
                }
            }
            self.link.flush();
            if link_ready {
                link_ready = self.take_frames(&mut frame)?;
            }
            self.tick();
            self.turns();
            self.link.flush();
            if self.link.is_fed() {
                self.dirty.extend(self.flows.keys());
            }
            self.after();
        }
        Ok(())
    }

    fn ready(&mut self, owner: Owner, token: Token) {
        match owner {
            Owner::Link => {}
            Owner::Vmm => self.ended = true,
            Owner::Control => self.accept_conversations(),
            Owner::Conversation => self.converse(token),
            Owner::Listener => self.accept_published(token),
            Owner::Flow(key) => self.host_ready(key),
            Owner::Pair(pair) => self.pair_ready(pair),
            Owner::Ping => self.ping_ready(token),
            Owner::Peer => self.peer_ready(token),
            Owner::Query => {
                let finished = self.resolver.ready(&mut self.io, token, self.now);
                finished.into_iter().for_each(|one| self.answered(one));
            }
        }
    }

    /// Takes frames of the guest's; true when there may be more.
    fn take_frames(&mut self, frame: &mut [u8]) -> io::Result<bool> {
        for _ in 0..FRAMES_A_TURN {
            let Some(length) = self.link.receive(frame)? else {
                return Ok(false);
            };
            self.gate.counters.frames_in += 1;
            match packet::parse(&frame[..length]) {
                Ok((mac, parsed)) => {
                    self.link.seen(mac);
                    match parsed {
                        Frame::Arp(arp) => self.arp(&arp),
                        Frame::Ip(packet) => self.packet(&packet),
                    }
                }
                Err(_) => self.gate.counters.dropped += 1,
            }
        }
        Ok(true)
    }

    /// Time until something is due.
    fn within(&self) -> Option<Duration> {
        let tcp_now = self.tcp_now().total_micros();
        let flows = self.due.first().map(|(due, _)| {
            let micros = u64::try_from(due - tcp_now).unwrap_or_default();
            Duration::from_micros(micros)
        });
        let until = |at: Instant| at.saturating_duration_since(self.now);
        let connects = self.connect_due().map(until);
        let queries = self.resolver.due().map(until);
        let has_idle = !self.pairs.is_empty() || !self.pings.is_empty() || self.names.len() > 0;
        let sweep = has_idle.then(|| until(self.swept + SWEEP_EVERY));
        let trim = self.freed.map(|freed| until(freed + TRIM_AFTER));
        let rules = self.gate.policy.next_end(now_ms() / 1000).map(|end| {
            let left = (end * 1000).saturating_sub(now_ms());
            Duration::from_millis(left + 1)
        });
        let all = [flows, connects, queries, sweep, trim, rules];
        all.into_iter().flatten().min()
    }

    /// Does what is due.
    fn tick(&mut self) {
        let tcp_now = self.tcp_now().total_micros();
        while let Some((due, key)) = self.due.first().copied()
            && due <= tcp_now
        {
            self.due.pop_first();
            if let Some(flow) = self.flows.get_mut(&key) {
                flow.due = None;
            }
            self.dirty.insert(key);
        }
        self.connects_due();
        let finished = self.resolver.tick(&mut self.io, self.now);
        finished.into_iter().for_each(|one| self.answered(one));
        if self.now >= self.swept + SWEEP_EVERY {
            self.swept = self.now;
            self.sweep_datagrams();
            self.sweep_names();
        }
        self.end_rules();
        if self
            .freed
            .is_some_and(|freed| self.now >= freed + TRIM_AFTER)
        {
            self.freed = None;
            self.flows.shrink_to(64);
            self.dirty.shrink_to(64);
            crate::memory::give_back();
        }
    }

    /// Tells and writes what came up in this round.
    fn after(&mut self) {
        self.tell_followers();
        self.gate.log.flush();
    }
}

/// Serves until the VMM ends, or the daemon says so.
///
/// # Errors
/// Its sockets cannot be made, or the poll fails.
pub(crate) fn serve(config: NetConfig, vmm: Option<OwnedFd>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut net = Net::new(config, &poll)?;
    if let Some(vmm) = vmm {
        net.watch_vmm(vmm)?;
    }
    net.run(&mut poll)?;
    net.gate.log.flush();
    Ok(())
}
