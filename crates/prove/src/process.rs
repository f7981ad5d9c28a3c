//! Simulated processes: VMMs, strangers, reused pids, and the ports that they hold.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use banger_api::ExitCause;
use banger_engine::{EngineKind, IdentityVersion, LaunchToken, NetSpec, VmmIdentity, VmmSpec};
use banger_net_control::NetIdentity;
use banger_ops::steps::NetLaunch;

/// Pids are few, so that they are soon reused.
const PIDS: std::ops::Range<u32> = 100..112;
/// The VMM's program.
const EXE: &str = "/usr/bin/vmm";
/// The network process's program.
const NET_EXE: &str = "/usr/bin/net";

/// Behaviour of a guest and of its VMM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// It obeys.
    Good,
    /// It never becomes reachable.
    NeverUp,
    /// It does not answer when it wakes from a template; it boots.
    NeverWakes,
    /// Its kernel panics while it boots.
    Panics,
    /// It does not power off.
    NeverDown,
    /// It does not power off, and its VMM ignores every signal that can be caught.
    Stubborn,
}

/// One process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) start: u64,
    pub(crate) exe: &'static str,
    /// The launch, for a VMM; `None` for a stranger.
    pub(crate) launch: Option<Launch>,
    /// The launch, for a network process.
    pub(crate) net: Option<Net>,
}

/// The launch of a network process. It does not end with its VMM: the real one may be slow to.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    pub(crate) token: String,
    pub(crate) dir: PathBuf,
    pub(crate) ports: Vec<(IpAddr, u16)>,
    /// True when it answers at its socket.
    pub(crate) answers: bool,
}

/// The launch of a VMM.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) token: LaunchToken,
    pub(crate) dir: PathBuf,
    pub(crate) console_log: PathBuf,
    pub(crate) disks: Vec<PathBuf>,
    /// Its guest woke, and did not boot.
    pub(crate) woke: bool,
    /// Its guest stands still.
    pub(crate) still: bool,
    /// Its disks lie over layers.
    pub(crate) layered: bool,
    /// Size of its work disk, as its guest has it.
    pub(crate) work_bytes: u64,
    pub(crate) ports: Vec<(IpAddr, u16)>,
    /// The user of the host that it is.
    pub(crate) user: Option<u32>,
    pub(crate) manners: Manners,
    /// True when it answers at its socket.
    pub(crate) answers: bool,
}

/// All processes of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    pub(crate) list: BTreeMap<u32, Process>,
    /// Ends of VMMs, by token, as far as they are recorded.
    pub(crate) exits: BTreeMap<LaunchToken, ExitCause>,
    next: u32,
    started: u64,
    boot: u32,
    /// Signalled strangers: there must be none.
    pub(crate) wronged: Vec<u32>,
}

impl Processes {
    pub(crate) fn new() -> Self {
        Self {
            list: BTreeMap::new(),
            exits: BTreeMap::new(),
            next: PIDS.start,
            started: 0,
            boot: 1,
            wronged: Vec::new(),
        }
    }

    fn spawn(&mut self, exe: &'static str, launch: Option<Launch>, net: Option<Net>) -> u32 {
        let free = (0..PIDS.len() as u32)
            .map(|n| PIDS.start + (self.next - PIDS.start + n) % PIDS.len() as u32)
            .find(|pid| !self.list.contains_key(pid));
        // Only with very many VMs are there more processes: then pids continue above the range.
        let pid = free.unwrap_or_else(|| self.list.keys().last().map_or(PIDS.end, |last| last + 1));
        self.next = if pid + 1 < PIDS.end {
            pid + 1
        } else {
            PIDS.start
        };
        self.started += 1;
        let process = Process {
            start: self.started,
            exe,
            launch,
            net,
        };
        self.list.insert(pid, process);
        pid
    }

    /// Starts a stranger with this very pid, if it is free.
    pub(crate) fn stranger_at(&mut self, pid: u32) {
        if !self.list.contains_key(&pid) {
            self.next = pid.clamp(PIDS.start, PIDS.end - 1);
            self.spawn("/usr/bin/stranger", None, None);
        }
    }

    /// Lets the guest of a VMM stand still, or go on; `false` when the VMM is gone.
    pub(crate) fn stand_still(&mut self, vmm: &VmmIdentity, still: bool) -> bool {
        if self.same(vmm).is_none() {
            return false;
        }
        let process = self.list.get_mut(&vmm.pid);
        match process.and_then(|process| process.launch.as_mut()) {
            Some(launch) => {
                launch.still = still;
                true
            }
            None => false,
        }
    }

    /// Lets the guest of a VMM write to another file. False when it does already.
    pub(crate) fn switch_disk(&mut self, vmm: &VmmIdentity, from: &Path, to: &Path) -> bool {
        let process = self.list.get_mut(&vmm.pid);
        let launch = process.and_then(|process| process.launch.as_mut());
        let disk = launch.and_then(|launch| {
            launch.layered = true;
            launch.disks.iter_mut().find(|disk| *disk == from)
        });
        disk.map(|disk| *disk = to.to_path_buf()).is_some()
    }

    pub(crate) fn start(&mut self, spec: &VmmSpec, manners: Manners, answers: bool) -> VmmIdentity {
        let ports = match &spec.net {
            NetSpec::User { publish, .. } => publish
                .iter()
                .map(|port| (port.host_ip, port.host_port))
                .collect(),
            NetSpec::None | NetSpec::Datagrams { .. } => Vec::new(),
        };
        let disks = spec.disks.iter().filter(|disk| !disk.read_only);
        let launch = Launch {
            token: spec.launch_token.clone(),
            dir: spec.dir.clone(),
            console_log: spec.console_log.clone(),
            disks: disks.map(|disk| disk.path.clone()).collect(),
            woke: spec.memory.state().is_some(),
            still: false,
            layered: spec.disks.iter().any(|disk| disk.below.is_some()),
            work_bytes: 0,
            ports,
            user: spec.user,
            manners,
            answers,
        };
        let pid = self.spawn(EXE, Some(launch.clone()), None);
        self.identity(pid, &launch)
    }

    /// The guest of a VMM has a work disk of this size, or of the larger one that it has already.
    pub(crate) fn has_work_disk_of(&mut self, pid: u32, bytes: u64) {
        let process = self.list.get_mut(&pid);
        if let Some(launch) = process.and_then(|process| process.launch.as_mut()) {
            launch.work_bytes = launch.work_bytes.max(bytes);
        }
    }

    fn boot_id(&self) -> String {
        format!("boot-{}", self.boot)
    }

    fn identity(&self, pid: u32, launch: &Launch) -> VmmIdentity {
        VmmIdentity {
            version: IdentityVersion::NEWEST,
            engine: EngineKind::Qemu,
            pid,
            start_ticks: self.list.get(&pid).map_or(0, |process| process.start),
            boot_id: self.boot_id(),
            exe: PathBuf::from(EXE),
            launch_token: launch.token.clone(),
            control_socket: launch.dir.join("qmp.sock"),
            channel_socket: launch.dir.join("channel.sock"),
            console_log: launch.console_log.clone(),
            jail: None,
        }
    }

    /// The launch of the very VMM that `vmm` identifies, if it lives.
    pub(crate) fn same(&self, vmm: &VmmIdentity) -> Option<&Launch> {
        let process = self.list.get(&vmm.pid)?;
        let launch = process.launch.as_ref()?;
        let same = process.start == vmm.start_ticks
            && Path::new(process.exe) == vmm.exe
            && self.boot_id() == vmm.boot_id
            && launch.token == vmm.launch_token;
        same.then_some(launch)
    }

    pub(crate) fn find(&self, token: &LaunchToken, dir: &Path) -> Option<VmmIdentity> {
        self.launches()
            .find(|(_, launch)| launch.token == *token && launch.dir == dir)
            .map(|(pid, launch)| self.identity(pid, launch))
    }

    /// The living VMMs of launches in directories of `run`.
    pub(crate) fn below(&self, run: &Path) -> Vec<VmmIdentity> {
        self.launches()
            .filter(|(_, launch)| launch.dir.parent() == Some(run))
            .map(|(pid, launch)| self.identity(pid, launch))
            .collect()
    }

    /// Starts a network process.
    pub(crate) fn start_net(&mut self, launch: &NetLaunch, answers: bool) -> NetIdentity {
        let ports = launch.config.publish.iter();
        let net = Net {
            token: launch.config.launch_token.clone(),
            dir: launch.dir.clone(),
            ports: ports.map(|port| (port.host_ip, port.host_port)).collect(),
            answers,
        };
        let pid = self.spawn(NET_EXE, None, Some(net.clone()));
        self.net_identity(pid, &net)
    }

    fn net_identity(&self, pid: u32, net: &Net) -> NetIdentity {
        NetIdentity {
            pid,
            start_ticks: self.list.get(&pid).map_or(0, |process| process.start),
            boot_id: self.boot_id(),
            exe: PathBuf::from(NET_EXE),
            token: net.token.clone(),
            dir: net.dir.clone(),
        }
    }

    /// The launch of the very network process that `net` identifies, if it lives.
    pub(crate) fn same_net(&self, net: &NetIdentity) -> Option<&Net> {
        let process = self.list.get(&net.pid)?;
        let launch = process.net.as_ref()?;
        (self.net_identity(net.pid, launch) == *net).then_some(launch)
    }

    /// Has a network process listen at these ports, and no others unless it is not to leave them. One that has ended does nothing.
    pub(crate) fn set_ports(&mut self, net: &NetIdentity, ports: Vec<(IpAddr, u16)>, leaves: bool) {
        if self.same_net(net).is_none() {
            return;
        }
        let process = self.list.get_mut(&net.pid);
        if let Some(launch) = process.and_then(|process| process.net.as_mut()) {
            match leaves {
                true => launch.ports = ports,
                false => launch.ports.extend(ports),
            }
        }
    }

    /// Living network processes.
    pub(crate) fn nets(&self) -> impl Iterator<Item = (u32, &Net)> {
        self.list
            .iter()
            .filter_map(|(pid, process)| Some((*pid, process.net.as_ref()?)))
    }

    /// The living network process of this launch.
    pub(crate) fn find_net(&self, token: &str, dir: &Path) -> Option<NetIdentity> {
        let mut nets = self.nets();
        let (pid, net) = nets.find(|(_, net)| net.token == token && net.dir == dir)?;
        Some(self.net_identity(pid, net))
    }

    /// The living network processes in directories of `run`.
    pub(crate) fn nets_below(&self, run: &Path) -> Vec<NetIdentity> {
        let here = self.nets().filter(|(_, net)| net.dir.parent() == Some(run));
        here.map(|(pid, net)| self.net_identity(pid, net)).collect()
    }

    /// Living VMMs.
    pub(crate) fn launches(&self) -> impl Iterator<Item = (u32, &Launch)> {
        self.list
            .iter()
            .filter_map(|(pid, process)| Some((*pid, process.launch.as_ref()?)))
    }

    /// Ends a process and records the cause. A stranger that is ended counts as wronged.
    pub(crate) fn end(&mut self, pid: u32, cause: Option<ExitCause>) {
        let Some(process) = self.list.remove(&pid) else {
            return;
        };
        match (process.launch, process.net) {
            (Some(launch), _) => {
                if let Some(cause) = cause {
                    self.exits.insert(launch.token, cause);
                }
            }
            (None, Some(_)) => {}
            (None, None) => self.wronged.push(pid),
        }
    }

    /// The machine loses its power and boots again, with strangers under the pids of former VMMs and network processes.
    pub(crate) fn power_cut(&mut self) {
        let vmms = self.launches().map(|(pid, _)| pid);
        let pids: Vec<u32> = vmms.chain(self.nets().map(|(pid, _)| pid)).collect();
        self.list.clear();
        self.exits.clear();
        self.boot += 1;
        for pid in pids {
            self.stranger_at(pid);
        }
    }

    /// Tells whether the host was booted again since the start of this VMM.
    pub(crate) fn rebooted_since(&self, vmm: &VmmIdentity) -> bool {
        self.boot_id() != vmm.boot_id
    }
}
