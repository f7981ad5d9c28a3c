//! VMs of one network: for each two of them that run, a pair of sockets between their network processes.
//!
//! Nothing of it is stored: what the records say is compared with what the processes say, whenever either may have changed. A process
//! that ends leaves its peers by itself.

use std::os::fd::AsFd as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use banger_api::NetworkName;
use banger_api::vm::VmState;
use banger_control::Control;
use banger_egress::Name;
use banger_net_control::{Client, ControlError};
use banger_store::{VmRecord, vm};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::failure::chain;
use crate::host::conversation;

/// Time for an answer of a process that runs.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// One VM that runs and can be joined.
struct Member {
    name: Name,
    joined: Option<NetworkName>,
    client: Client,
    /// VMs that its process is joined with.
    has: Vec<Name>,
}

/// Joins the VMs that belong together, and parts the others. One at a time.
#[derive(Debug, Default)]
pub(crate) struct Peers(Mutex<()>);

impl Peers {
    /// Does what is to be done. Blocks for the answers of processes.
    pub(crate) fn settle(&self, control: &Control) {
        let _turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let records = match control.read(vm::list) {
            Ok(records) => records,
            Err(error) => return tracing::warn!(%error, "VMs are not joined"),
        };
        let runs = |vm: &&VmRecord| vm.state == VmState::Running && vm.has_net_process();
        let runs: Vec<&VmRecord> = records.iter().filter(runs).collect();
        // Who has never been in a network costs nothing.
        if runs.iter().all(|vm| vm.network.joined.is_none()) && !self.has_joined(&runs) {
            return;
        }
        let mut members: Vec<Member> = runs.into_iter().filter_map(member).collect();
        for at in 0..members.len() {
            part(&mut members, at);
        }
        for first in 0..members.len() {
            for second in first + 1..members.len() {
                if let Err(error) = join(&mut members, first, second) {
                    let (one, other) = (&members[first].name, &members[second].name);
                    tracing::warn!(vm = %one, other = %other, error = chain(&error), "VMs are not joined");
                }
            }
        }
    }

    /// Tells whether a process is joined with another, though no record says that it should.
    fn has_joined(&self, runs: &[&VmRecord]) -> bool {
        runs.len() > 1
            && runs
                .iter()
                .any(|vm| member(vm).is_some_and(|one| !one.has.is_empty()))
    }
}

fn member(vm: &VmRecord) -> Option<Member> {
    let name = vm.name.as_str().parse().ok()?;
    let mut client = conversation(vm.network.process.as_ref()?, ANSWER_WITHIN).ok()??;
    let has = client.status().ok()?.peers;
    Some(Member {
        name,
        joined: vm.network.joined.clone(),
        client,
        has,
    })
}

fn belong(one: &Member, other: &Member) -> bool {
    one.joined.is_some() && one.joined == other.joined
}

/// Ends what a member is joined with and should not be.
fn part(members: &mut [Member], at: usize) {
    let wrong: Vec<Name> = members[at]
        .has
        .iter()
        .filter(|peer| {
            let other = members.iter().find(|one| one.name == **peer);
            !other.is_some_and(|other| belong(&members[at], other))
        })
        .cloned()
        .collect();
    for peer in wrong {
        let member = &mut members[at];
        if let Err(error) = member.client.leave(peer.clone()) {
            tracing::warn!(vm = %member.name, %peer, error = chain(&error), "a VM is still joined");
        }
        member.has.retain(|one| *one != peer);
    }
}

/// Joins two members that belong together and are not joined on both sides.
fn join(members: &mut [Member], first: usize, second: usize) -> Result<(), ControlError> {
    let Ok([one, other]) = members.get_disjoint_mut([first, second]) else {
        return Ok(());
    };
    let are_joined = one.has.contains(&other.name) && other.has.contains(&one.name);
    if !belong(one, other) || are_joined {
        return Ok(());
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let (here, there) = pair.map_err(std::io::Error::from)?;
    one.client.join(other.name.clone(), here.as_fd())?;
    other.client.join(one.name.clone(), there.as_fd())?;
    one.has.push(other.name.clone());
    other.has.push(one.name.clone());
    Ok(())
}
