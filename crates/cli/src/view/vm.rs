//! VMs.

use banger_api::vm::{MachineSize, Port, Pruned, Vm, VmHealth, VmState, VmStats};
use banger_api::{ByteSize, Condition, Timestamp};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::{Page, age, span};
use crate::output::style::Tone;
use crate::output::table::{Cell, Table};
use crate::output::width::Cut;

/// All VMs, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct List {
    vms: Vec<Vm>,
    #[serde(skip)]
    wide: bool,
}

impl List {
    /// These VMs; with `wide` nothing is cut or left out.
    pub fn new(vms: Vec<Vm>, wide: bool) -> Self {
        Self { vms, wide }
    }

    fn wide(&self, page: &mut Page) {
        let mut table = Table::new(&[
            "NAME", "ID", "STATE", "IMAGE", "KERNEL", "ENGINE", "VCPU", "MEMORY", "DISK",
            "ADDRESS", "PORTS", "LABELS", "CREATED",
        ]);
        for vm in &self.vms {
            table.row([
                vm.name.to_string().into(),
                vm.id.to_string().into(),
                state(vm.state, &vm.conditions),
                vm.image.to_string().into(),
                kernel(vm).into(),
                vm.engine.to_string().into(),
                vcpus(vm).into(),
                memory(vm).into(),
                ByteSize(vm.disk_bytes).to_string().into(),
                vm.address.clone().unwrap_or_default().into(),
                ports(vm).into(),
                vm.labels.to_string().into(),
                vm.created_at.to_string().into(),
            ]);
        }
        page.widen();
        page.table(&table);
    }
}

impl Render for List {
    fn text(&self, page: &mut Page) {
        if self.wide {
            return self.wide(page);
        }
        let mut table = Table::new(&[
            "NAME", "ID", "STATE", "IMAGE", "VCPU", "MEMORY", "DISK", "PORTS", "AGE",
        ])
        .cut("NAME", Cut::Middle)
        .cut("IMAGE", Cut::Middle)
        .cut("PORTS", Cut::End);
        for vm in &self.vms {
            table.row([
                vm.name.to_string().into(),
                short_id(vm).into(),
                state(vm.state, &vm.conditions),
                vm.image.to_string().into(),
                vcpus(vm).into(),
                memory(vm).into(),
                ByteSize(vm.disk_bytes).to_string().into(),
                ports(vm).into(),
                age(vm.created_at, page.now()).into(),
            ]);
        }
        page.table(&table);
    }
}

/// A state in its colour, with what is wrong beside it.
fn state(state: VmState, conditions: &[Condition]) -> Cell {
    let tone = match state {
        _ if !conditions.is_empty() => Tone::Bad,
        VmState::Running => Tone::Good,
        VmState::Error => Tone::Bad,
        VmState::Starting | VmState::Stopping | VmState::Deleting => Tone::Attention,
        VmState::Created | VmState::Stopped | VmState::Suspended => Tone::Faint,
    };
    Cell::new(state_text(state, conditions), tone)
}

fn state_text(state: VmState, conditions: &[Condition]) -> String {
    match conditions.first() {
        Some(condition) => format!("{state}, {}", condition.kind.short()),
        None => state.to_string(),
    }
}

/// The size that runs, and the one that is set where that is another.
fn and_next(runs: Option<String>, set: String) -> String {
    match runs.filter(|runs| *runs != set) {
        Some(runs) => format!("{runs}, next {set}"),
        None => set,
    }
}

fn kernel(vm: &Vm) -> String {
    match vm.own_kernel {
        true => format!("image ({})", vm.kernel),
        false => vm.kernel.to_string(),
    }
}

fn vcpus(vm: &Vm) -> String {
    and_next(
        vm.runs.map(|runs| runs.vcpu.to_string()),
        vm.vcpu.to_string(),
    )
}

fn memory(vm: &Vm) -> String {
    let size = |mib: u32| ByteSize::mib(mib.into()).to_string();
    and_next(
        vm.runs.map(|runs| size(runs.memory_mib)),
        size(vm.memory_mib),
    )
}

/// The start of an id that tells VMs apart: its time of making in milliseconds (RFC 9562, version 7).
fn short_id(vm: &Vm) -> String {
    let id = vm.id.to_string();
    id.get(..13).unwrap_or(&id).to_owned()
}

/// Published ports, of which loopback, the default, is not said; then servers at the VM's own address.
fn ports(vm: &Vm) -> String {
    let servers = vm.servers.iter().filter_map(|port| {
        let at: std::net::SocketAddr = port.at.as_ref()?.parse().ok()?;
        Some(match at.port() == port.guest_port {
            true => format!(":{}", at.port()),
            false => format!(":{}->{}", at.port(), port.guest_port),
        })
    });
    let shown = vm.publish.iter().map(|port| {
        let (host, guest) = (port.host_port, port.guest_port);
        match port.host_ip.is_loopback() {
            true => format!("{host}->{guest}"),
            false => format!("{}->{guest}", std::net::SocketAddr::new(port.host_ip, host)),
        }
    });
    shown.chain(servers).collect::<Vec<_>>().join(",")
}

/// The names of VMs, for scripts.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Names(pub Vec<String>);

impl Render for Names {
    fn text(&self, page: &mut Page) {
        for name in &self.0 {
            page.line(name);
        }
    }
}

/// A VM that was changed: its name is enough.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Changed(pub Vm);

impl Render for Changed {
    fn text(&self, page: &mut Page) {
        page.line(self.0.name.as_str());
    }
}

/// All about one VM.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Whole(pub Vm);

impl Render for Whole {
    fn text(&self, page: &mut Page) {
        let vm = &self.0;
        let since = |then: Timestamp| format!("{then} ({} ago)", age(then, page.now()));
        let publish: Vec<_> = vm.publish.iter().map(ToString::to_string).collect();
        let changed = "settings were changed; they apply at the next start".to_owned();
        let fields = [
            ("name", Some(vm.name.to_string())),
            ("id", Some(vm.id.to_string())),
            ("state", Some(vm.state.to_string())),
            ("condition", condition(vm)),
            ("error", vm.error.clone()),
            ("image", Some(vm.image.to_string())),
            ("kernel", Some(kernel(vm))),
            ("engine", Some(vm.engine.to_string())),
            ("jail", vm.jail.as_ref().map(ToString::to_string)),
            ("vcpu", Some(vcpus(vm))),
            ("memory", Some(memory(vm))),
            ("work disk", Some(ByteSize(vm.disk_bytes).to_string())),
            ("overlay", Some(ByteSize(vm.overlay_bytes).to_string())),
            ("network", Some(network(vm))),
            (
                "joined",
                vm.joined
                    .as_ref()
                    .map(|name| format!("{name}: its VMs are NAME.vm")),
            ),
            (
                "secrets",
                (!vm.secrets.is_empty()).then(|| vm.secrets.join("\n")),
            ),
            (
                "published",
                (!publish.is_empty()).then(|| publish.join(", ")),
            ),
            ("address", vm.address.clone()),
            ("servers", servers(vm)),
            ("in browsers", vm.url.clone()),
            (
                "labels",
                (!vm.labels.is_empty()).then(|| vm.labels.to_string()),
            ),
            ("created", Some(since(vm.created_at))),
            ("started", vm.started_at.map(since)),
            ("changed", vm.restart_needed.then_some(changed)),
            (
                "ephemeral",
                vm.ephemeral.then(|| "deleted when its run ends".to_owned()),
            ),
        ];
        page.fields(fields);
    }
}

/// Faults of a VM, each with the next step below it.
fn condition(vm: &Vm) -> Option<String> {
    let told = |one: &Condition| format!("{one}\n{}", one.hint(vm.name.as_str()));
    let all: Vec<_> = vm.conditions.iter().map(told).collect();
    (!all.is_empty()).then(|| all.join("\n"))
}

/// Servers at the VM's own address, one a line.
fn servers(vm: &Vm) -> Option<String> {
    let line = |port: &banger_api::vm::OpenPort| match (&port.at, &port.failure) {
        (Some(at), _) => format!("{} at {at}", port.guest_port),
        (None, cause) => {
            let cause = cause.as_deref().unwrap_or("not yet");
            format!("{} not open: {cause}", port.guest_port)
        }
    };
    let all: Vec<_> = vm.servers.iter().map(line).collect();
    (!all.is_empty()).then(|| all.join("\n"))
}

fn network(vm: &Vm) -> String {
    use banger_api::vm::{Egress, NetMode, NetStack};
    let reaches = match vm.egress {
        _ if vm.net == NetMode::None => return vm.net.to_string(),
        Egress::None => "nothing",
        Egress::Public => "the internet alone",
        Egress::List => "what its rules allow",
        Egress::All if vm.reaches_host => "this host's own services too",
        Egress::All => return vm.net.to_string(),
    };
    match vm.stack {
        NetStack::Own => format!("user (own), reaches {reaches}"),
        NetStack::Slirp => format!("user, reaches {reaches}"),
    }
}

/// Use of resources by VMs, one a line, or by the commands in their guests.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Stats {
    /// The VMs.
    pub vms: crate::view::shown::Shown<VmStats>,
    /// Commands are shown in the text; JSON always has them.
    #[serde(skip)]
    pub commands: bool,
}

impl Stats {
    fn commands(&self, page: &mut Page) {
        let mut table = Table::new(&["NAME", "PID", "CPU", "MEMORY", "PROCESSES", "COMMAND"])
            .cut("COMMAND", Cut::End);
        for vm in &self.vms.0 {
            for command in vm.guest.iter().flat_map(|guest| &guest.commands) {
                table.row([
                    vm.name.to_string(),
                    command.pid.to_string(),
                    seconds(command.cpu_ms),
                    ByteSize(command.memory_bytes).to_string(),
                    command.processes.to_string(),
                    command.command.clone(),
                ]);
            }
        }
        page.table(&table);
    }
}

/// Seconds with one digit behind the point.
fn seconds(ms: u64) -> String {
    format!("{}.{}s", ms / 1000, ms % 1000 / 100)
}

impl Render for Stats {
    fn text(&self, page: &mut Page) {
        if self.commands {
            return self.commands(page);
        }
        let mut table = Table::new(&[
            "NAME",
            "STATE",
            "CPU",
            "MEMORY",
            "DISK",
            "OVERLAY",
            "LOAD",
            "GUEST MEMORY",
            "UPTIME",
        ]);
        for stats in &self.vms.0 {
            table.row(stats_row(stats));
        }
        page.table(&table);
    }
}

fn stats_row(stats: &VmStats) -> [String; 9] {
    let guest = &stats.guest;
    let size = |bytes: u64| ByteSize(bytes).to_string();
    let cpu = stats.host_cpu_ms.map(seconds);
    [
        stats.name.to_string(),
        state_text(stats.state, &stats.conditions),
        cpu.unwrap_or_default(),
        stats.host_memory_bytes.map(size).unwrap_or_default(),
        size(stats.disk_allocated_bytes),
        size(stats.overlay_allocated_bytes),
        guest.as_ref().map(guest_load).unwrap_or_default(),
        guest
            .as_ref()
            .map(|guest| guest_memory(guest, stats.next))
            .unwrap_or_default(),
        guest.as_ref().map(guest_uptime).unwrap_or_default(),
    ]
}

/// Health of VMs, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Health(pub crate::view::shown::Shown<VmHealth>);

impl Render for Health {
    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&["NAME", "STATE", "HEALTHY", "ROUND TRIP", "CAUSE"]);
        for health in &self.0.0 {
            let trip = health.round_trip_us;
            table.row([
                health.name.to_string(),
                state_text(health.state, &health.conditions),
                if health.healthy { "yes" } else { "no" }.to_owned(),
                trip.map(|us| format!("{}.{:03} ms", us / 1000, us % 1000))
                    .unwrap_or_default(),
                health.cause.clone().unwrap_or_default(),
            ]);
        }
        page.table(&table);
    }
}

/// Listeners in a guest, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Ports(pub Vec<Port>);

impl Render for Ports {
    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&["PROTOCOL", "ADDRESS", "PORT", "PROCESS", "REACH AT"]);
        for port in &self.0 {
            let process = match (&port.process, port.pid) {
                (Some(name), Some(pid)) => format!("{name} ({pid})"),
                (Some(name), None) => name.clone(),
                (None, Some(pid)) => pid.to_string(),
                (None, None) => String::new(),
            };
            table.row([
                port.protocol.clone(),
                port.address.clone(),
                port.port.to_string(),
                process,
                port.reach.clone().unwrap_or_default(),
            ]);
        }
        page.table(&table);
    }
}

/// Things that a prune removed, or would remove.
#[derive(Debug, Serialize)]
pub struct Prune<'a> {
    /// The VMs.
    pub vms: &'a [Vm],
    /// Bytes of disk that they had allocated.
    pub freed_bytes: u64,
    /// Nothing was removed.
    pub dry_run: bool,
}

impl<'a> Prune<'a> {
    /// Of this answer.
    pub fn new(pruned: &'a Pruned, dry_run: bool) -> Self {
        Self {
            vms: &pruned.vms,
            freed_bytes: pruned.freed_bytes,
            dry_run,
        }
    }
}

impl Render for Prune<'_> {
    fn text(&self, page: &mut Page) {
        for vm in self.vms {
            page.line(vm.name.as_str());
        }
    }
}

fn guest_load(guest: &banger_api::guest::GuestUse) -> String {
    format!("{:.2}", guest.load[0])
}

fn guest_memory(guest: &banger_api::guest::GuestUse, next: Option<MachineSize>) -> String {
    let used = guest
        .memory
        .total_bytes
        .saturating_sub(guest.memory.available_bytes);
    let now = format!(
        "{} of {}",
        ByteSize(used),
        ByteSize(guest.memory.total_bytes)
    );
    match next {
        Some(next) => format!("{now}, next {}", ByteSize::mib(next.memory_mib.into())),
        None => now,
    }
}

fn guest_uptime(guest: &banger_api::guest::GuestUse) -> String {
    span(guest.uptime_ms / 1000)
}
