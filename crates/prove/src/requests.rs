//! Requests to a daemon, and the users' record of them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use banger_api::checkpoint::{CreateCheckpoint, ForkVm, RestoreCheckpoint};
use banger_api::image::{BuildImage, ReseedImage, SaveVm, WorkSeed};
use banger_api::kernel::{ImportKernel, KernelChoice, KernelSource};
use banger_api::pull::{PullImage, PullSource};
use banger_api::vm::{
    ChangePorts, CreateVm, KillVm, NetStack, PruneVms, Publish, RestartPolicy, SetVm, StopVm, Vm,
    VmState,
};
use banger_api::{ApiError, ByteSize, ErrorCode, VmId};
use banger_control::{image, kernel, system, template, vm};
use banger_ops::{HostResult, plans};
use banger_store::{VmRecord, checkpoint};

use crate::content::SIZE;
use crate::daemon::Daemon;
use crate::layout;

/// Time for a guest to shut down, in seconds.
const STOP_S: u32 = 10;

fn invalid(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, error.to_string())
}

/// Parts and options of a new VM.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From<'a> {
    pub(crate) image: &'a str,
    /// Kernel; `None` for the default one.
    pub(crate) kernel: Option<&'a str>,
    /// True for a work disk that is larger than the seed.
    pub(crate) grown: bool,
    /// A published port.
    pub(crate) port: Option<u16>,
    /// Carrier of its packets.
    pub(crate) stack: NetStack,
    /// Restart policy after a host crash or reboot.
    pub(crate) restart: RestartPolicy,
    /// True to start it right after its creation.
    pub(crate) start: bool,
    /// True for the kernel of its own root.
    pub(crate) own_kernel: bool,
}

impl Daemon {
    fn find(&self, name: &str) -> HostResult<VmRecord> {
        banger_control::find_vm(&self.control, name)
    }

    /// Something is done with a VM: how its VMM ended before is of no account any more.
    fn touch(&self, name: &str) {
        if let Ok(vm) = self.find(name) {
            let mut world = self.machine.world();
            world.ledger.ends.remove(&vm.id);
            world.ledger.reboots.remove(&vm.id);
        }
    }

    /// Makes a VM.
    pub(crate) fn create(&self, name: &str, from: &From<'_>) -> HostResult<VmId> {
        self.make(name, from, false)
    }

    /// Makes a VM anew, in the place of the one that has its name.
    pub(crate) fn replace(&self, name: &str, from: &From<'_>) -> HostResult<VmId> {
        let old = self.find(name)?.id;
        {
            let mut world = self.machine.world();
            world.ledger.doomed.insert(old);
            world.ledger.names.insert(name.to_owned());
        }
        self.make(name, from, true)
    }

    fn make(&self, name: &str, from: &From<'_>, replace: bool) -> HostResult<VmId> {
        let publish = from.port.map(publish);
        let request = CreateVm {
            name: Some(name.parse().map_err(invalid)?),
            image: Some(from.image.parse().map_err(invalid)?),
            kernel: match (from.own_kernel, from.kernel) {
                (true, _) => Some(KernelChoice::Image),
                (false, kernel) => kernel.map(str::parse).transpose().map_err(invalid)?,
            },
            disk_size: Some(ByteSize(if from.grown { 2 * SIZE } else { SIZE })),
            overlay_size: Some(ByteSize(SIZE)),
            publish: publish.into_iter().collect(),
            stack: Some(from.stack),
            restart: Some(from.restart),
            start: from.start,
            replace,
            ..CreateVm::default()
        };
        let accepted = vm::create(&self.control, request)?;
        let id = accepted
            .vm
            .map(|vm| vm.id)
            .ok_or_else(|| invalid("a create names its VM"))?;
        let made = self.ended(accepted.operation);
        let mut world = self.machine.world();
        if let Err(error) = made {
            // Its user does not rely on it, and the daemon may remove it.
            world.ledger.doomed.insert(id);
            return Err(error);
        }
        let content = match world.files.file(&layout::work_disk(id)) {
            Some((crate::fs::Content::Whole(content), _)) => Some(content),
            _ => None,
        };
        world.ledger.work.insert(id, content);
        Ok(id)
    }

    /// Boots a VM.
    pub(crate) fn start_vm(&self, name: &str) -> HostResult<()> {
        self.touch(name);
        self.done(vm::start(&self.control, name))
    }

    /// Makes the templates that starts would have used.
    pub(crate) fn make_templates(&self) -> HostResult<()> {
        let wanted =
            std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        for wanted in wanted {
            self.machine.world().ledger.wanted_template = Some(wanted.key);
            let operation = template::make(&self.control, wanted)?;
            self.ended(operation.id)?;
        }
        Ok(())
    }

    /// Removes all templates.
    pub(crate) fn prune_templates(&self) -> HostResult<()> {
        let pruned = template::prune(&self.control, false)?;
        pruned
            .operations
            .into_iter()
            .try_for_each(|id| self.ended(id))
    }

    /// Shuts a VM down.
    pub(crate) fn stop(&self, name: &str) -> HostResult<()> {
        self.touch(name);
        self.done(vm::stop(&self.control, name, &stop()))
    }

    /// Saves a VM's memory and ends its VMM.
    pub(crate) fn suspend(&self, name: &str) -> HostResult<()> {
        self.touch(name);
        self.done(vm::suspend(&self.control, name))
    }

    /// Lets a guest stand still and go on.
    pub(crate) fn pause_and_resume(&self, name: &str) -> HostResult<()> {
        self.machine.world().ledger.may_stand_still = true;
        self.done(vm::pause(&self.control, name))?;
        self.done(vm::resume(&self.control, name))
    }

    /// Shuts a VM down and boots it again.
    pub(crate) fn restart(&self, name: &str) -> HostResult<()> {
        self.touch(name);
        self.done(vm::restart(&self.control, name, &stop()))
    }

    /// Ends a VM's VMM with a signal.
    pub(crate) fn kill(&self, name: &str, signal: i32) -> HostResult<()> {
        self.touch(name);
        let request = KillVm {
            signal: Some(signal.to_string()),
        };
        self.done(vm::kill(&self.control, name, &request))
    }

    /// Removes a VM.
    pub(crate) fn delete(&self, name: &str) -> HostResult<()> {
        let id = self.find(name)?.id;
        self.touch(name);
        {
            let mut world = self.machine.world();
            world.ledger.doomed.insert(id);
            world.ledger.names.remove(name);
        }
        self.done(vm::delete(&self.control, &id.to_string(), true))
    }

    /// Removes every VM that is not running.
    pub(crate) fn prune(&self) -> HostResult<()> {
        let prune = |dry_run| {
            let labels = Vec::new();
            vm::prune(&self.control, &PruneVms { dry_run, labels })
        };
        for vm in prune(true)?.vms {
            let mut world = self.machine.world();
            world.ledger.doomed.insert(vm.id);
            world.ledger.names.remove(vm.name.as_str());
        }
        let mut outcome = Ok(());
        for operation in prune(false)?.operations {
            outcome = outcome.and(self.ended(operation));
        }
        outcome
    }

    /// Keeps the disks of a VM, whose user knows what is on them.
    pub(crate) fn checkpoint(&self, name: &str, as_name: &str) -> HostResult<()> {
        let vm = self.find(name)?.id;
        self.touch(name);
        let known = self.machine.world().ledger.work.get(&vm).copied().flatten();
        self.checkpoint_anew(name, Some(as_name))?;
        let made = self.read(|db| checkpoint::of_vm(db, vm))?;
        let made = made.iter().find(|one| one.name.as_str() == as_name);
        let made = made.ok_or_else(|| invalid("a checkpoint was made and is not there"))?;
        if let Some(content) = known {
            self.machine
                .world()
                .ledger
                .checkpoints
                .insert(made.id, content);
        }
        Ok(())
    }

    /// The same, whatever is on them.
    pub(crate) fn checkpoint_anew(&self, name: &str, as_name: Option<&str>) -> HostResult<()> {
        let request = CreateCheckpoint {
            name: as_name.map(str::parse).transpose().map_err(invalid)?,
        };
        self.done(vm::create_checkpoint(&self.control, name, request))
    }

    /// Lets a VM go back to a checkpoint.
    pub(crate) fn restore(&self, name: &str, to: &str, discard: bool) -> HostResult<()> {
        let vm = self.find(name)?.id;
        let all = self.read(|db| checkpoint::of_vm(db, vm))?;
        let wanted = all.iter().find(|one| one.name.as_str() == to);
        self.restore_blindly(name, to, discard)?;
        let runs = self.find(name)?.state == VmState::Running;
        let mut world = self.machine.world();
        let content = wanted.and_then(|one| world.ledger.checkpoints.get(&one.id).copied());
        if !runs {
            world.ledger.work.insert(vm, content);
        }
        Ok(())
    }

    /// The same, when others may do something with it at the same time.
    pub(crate) fn restore_blindly(&self, name: &str, to: &str, discard: bool) -> HostResult<()> {
        let vm = self.find(name)?.id;
        self.touch(name);
        if discard {
            self.machine.world().ledger.discards.insert(vm);
        }
        let request = RestoreCheckpoint {
            discard_current: discard,
        };
        self.done(vm::restore_checkpoint(&self.control, name, to, &request))
    }

    /// Makes a VM of another one's disks.
    pub(crate) fn fork(&self, name: &str, as_name: &str, of: Option<&str>) -> HostResult<()> {
        let parent = self.find(name)?.id;
        let all = self.read(|db| checkpoint::of_vm(db, parent))?;
        let from = all.iter().find(|one| Some(one.name.as_str()) == of);
        let known = {
            let world = self.machine.world();
            match from {
                Some(from) => world.ledger.checkpoints.get(&from.id).copied(),
                None => world.ledger.work.get(&parent).copied().flatten(),
            }
        };
        self.fork_as(name, as_name, of, known)
    }

    /// The same, when others may do something with that one at the same time.
    pub(crate) fn fork_blindly(
        &self,
        name: &str,
        as_name: &str,
        of: Option<&str>,
    ) -> HostResult<()> {
        self.fork_as(name, as_name, of, None)
    }

    fn fork_as(
        &self,
        name: &str,
        as_name: &str,
        of: Option<&str>,
        known: Option<u64>,
    ) -> HostResult<()> {
        let request = ForkVm {
            checkpoint: of.map(str::to_owned),
            count: None,
            name: Some(as_name.parse().map_err(invalid)?),
        };
        let accepted = vm::fork(&self.control, name, request)?;
        let made = accepted.forks.first().map(|vm| vm.id);
        let made = made.ok_or_else(|| invalid("a fork names its VM"))?;
        let ended = self.ended(accepted.operation);
        let mut world = self.machine.world();
        match ended {
            Ok(()) => drop(world.ledger.work.insert(made, known)),
            Err(_) => drop(world.ledger.doomed.insert(made)),
        }
        ended
    }

    /// Forgets a checkpoint.
    pub(crate) fn delete_checkpoint(&self, name: &str, checkpoint: &str) -> HostResult<()> {
        self.done(vm::delete_checkpoint(&self.control, name, checkpoint))
    }

    /// Makes an image of a VM that is not running.
    pub(crate) fn save(&self, name: &str, image: &str, replace: bool) -> HostResult<()> {
        let request = SaveVm {
            image: image.parse().map_err(invalid)?,
            work_seed: WorkSeed::default(),
            seed_size: None,
            replace,
        };
        self.done(vm::save(&self.control, name, request))
    }

    /// Tells the daemon that a VM's VMM ended by itself.
    pub(crate) fn watch(&self, name: &str) -> HostResult<()> {
        let vm = self.find(name)?;
        let Some(vmm) = plans::identity(&vm) else {
            return Ok(());
        };
        let lives = self.machine.world().processes.same(&vmm).is_some();
        match lives {
            // The kernel reports ends of processes, and nothing else.
            true => Ok(()),
            false => vm::vmm_ended(&self.control, vm.id, vmm),
        }
    }

    /// The same, and waits until the daemon is done with it.
    pub(crate) fn watch_to_the_end(&self, name: &str) -> HostResult<()> {
        self.watch(name)?;
        self.wait(&mut || self.control.operations().all_running().is_empty());
        Ok(())
    }

    /// Tells the daemon that a VM's network process ended by itself, and waits until it is done with that.
    pub(crate) fn watch_net(&self, name: &str) -> HostResult<()> {
        let vm = self.find(name)?;
        let Some(net) = &vm.network.process else {
            return Ok(());
        };
        let lives = self.machine.world().processes.same_net(net).is_some();
        if !lives {
            vm::net_ended(&self.control, vm.id, net)?;
        }
        Ok(())
    }

    /// Sets the size of a work disk, at once where the VM runs.
    pub(crate) fn set_disk(&self, name: &str, bytes: u64) -> HostResult<()> {
        let request = SetVm {
            disk_size: Some(ByteSize(bytes.max(self.find(name)?.disk_bytes))),
            ..SetVm::default()
        };
        let vm = self.answered(|answer| vm::set(&self.control, name, request, answer))?;
        self.machine
            .world()
            .ledger
            .sizes
            .insert(vm.id, vm.disk_bytes);
        Ok(())
    }

    /// Publishes a port of a VM, or no more, at once where it runs.
    pub(crate) fn change_ports(&self, name: &str, add: &[u16], remove: &[u16]) -> HostResult<()> {
        let ports = |ports: &[u16]| ports.iter().map(|port| publish(*port)).collect();
        let request = ChangePorts {
            add: ports(add),
            remove: ports(remove),
        };
        self.answered(|answer| vm::change_ports(&self.control, name, request, answer))
            .map(drop)
    }

    /// Waits for the answer of a request that gives it when its turn has come.
    fn answered(&self, ask: impl FnOnce(Box<dyn FnOnce(HostResult<Vm>) + Send>)) -> HostResult<Vm> {
        let slot: Arc<Mutex<Option<HostResult<Vm>>>> = Arc::default();
        let given = Arc::clone(&slot);
        let machine = Arc::clone(&self.machine);
        ask(Box::new(move |result| {
            *given.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            if let Some(schedule) = machine.schedule() {
                schedule.wake();
            }
        }));
        let mut answer = None;
        self.wait(&mut || {
            answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            answer.is_some()
        });
        answer.unwrap_or_else(|| Err(invalid("a change was never answered")))
    }

    /// Makes an image from a recipe.
    pub(crate) fn build(&self, name: &str, recipe: &str, replace: bool) -> HostResult<()> {
        let request = BuildImage {
            recipe: recipe.to_owned(),
            name: Some(name.parse().map_err(invalid)?),
            work_seed: WorkSeed::default(),
            seed_size: None,
            replace,
        };
        self.done(image::build(&self.control, request))
    }

    /// Makes an image of the registry's current `app`, and gives it this name, even if the name is taken.
    pub(crate) fn pull(&self, name: &str, manifest: &str) -> HostResult<()> {
        let request = PullImage {
            source: PullSource::Path {
                path: "/in/app".to_owned(),
                tag: Some(manifest.to_owned()),
                called: None,
            },
            name: Some(name.parse().map_err(invalid)?),
            platform: None,
            work_seed: WorkSeed::default(),
            seed_size: None,
            replace: true,
        };
        self.done(image::pull(&self.control, request))
    }

    /// Removes an image's name, and its files with the last one.
    pub(crate) fn delete_image(&self, name: &str) -> HostResult<()> {
        self.done(image::delete(&self.control, name))
    }

    /// Gives an image another name.
    pub(crate) fn rename_image(&self, from: &str, to: &str) -> HostResult<()> {
        let to = to.parse().map_err(invalid)?;
        self.done(image::rename(&self.control, from, to))
    }

    /// Gives an image another work seed, and the VMs made from it the new files.
    pub(crate) fn reseed_image(&self, name: &str) -> HostResult<()> {
        let request = ReseedImage {
            work_seed: WorkSeed::default(),
            seed_size: None,
        };
        self.done(image::reseed(&self.control, name, request))
    }

    /// Makes a kernel of this content and gives it this name.
    pub(crate) fn import(&self, name: &str, content: &str) -> HostResult<()> {
        let request = ImportKernel {
            source: KernelSource::Dir {
                path: format!("/in/{content}"),
            },
            name: Some(name.parse().map_err(invalid)?),
            all_modules: false,
        };
        self.done(kernel::import(&self.control, request))
    }

    /// Removes a kernel's name, and its files with the last one.
    pub(crate) fn delete_kernel(&self, name: &str) -> HostResult<()> {
        self.done(kernel::delete(&self.control, name))
    }

    /// Removes everything without a claim.
    pub(crate) fn sweep(&self) -> HostResult<()> {
        match system::sweep(&self.control, false)? {
            (_resources, Some(running)) => self.ended(running.id),
            (_resources, None) => Ok(()),
        }
    }

    /// Runs the periodic upkeep.
    pub(crate) fn upkeep(&self) {
        system::upkeep(&self.control, true);
    }
}

/// A port of this host that leads to the guest's port 80.
fn publish(port: u16) -> Publish {
    Publish {
        host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        host_port: port,
        guest_port: 80,
    }
}

fn stop() -> StopVm {
    StopVm {
        timeout_s: Some(STOP_S),
    }
}
