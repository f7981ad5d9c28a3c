//! The simulated machine: its world, and the only way to act on it.
//!
//! ```text
//! Host call, commit ──► act ──► a turn of the schedule ──► the rules of every instant are checked
//!                                                       └─► a fault, or the effect, or a part of it
//! ```
//!
//! A dead daemon is poisoned: every later call and commit of that life fails without effect. The rest of the world can
//! see no more than this of a dead process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use banger_api::operation::StepState;
use banger_api::{ApiError, CheckpointId, ContentDigest, ErrorCode, ExitCause, VmId};
use banger_ops::HostResult;
use banger_store::{Durability, Store, StoreError};
use uuid::Uuid;

use crate::content;
use crate::fault::{Faults, Mode, Nature};
use crate::fs::{Content, Files, Loss};
use crate::instant::{self, Claims};
use crate::process::{Manners, Processes};
use crate::random::Random;
use crate::schedule::Schedule;
use crate::snapshot::Tables;

/// The well-known directories, which need no claim; each entry directly in them needs one.
pub(crate) const ROOTS: [&str; 7] = [
    "/s/vms",
    "/s/images",
    "/s/kernels",
    crate::layout::LAYERS,
    "/s/templates",
    "/s/staging",
    "/r",
];
/// The directory that is empty after a reboot.
pub(crate) const RUN: &str = "/r";

/// Tells whether a path is below a directory of banger's own.
pub(crate) fn is_own(path: &Path) -> bool {
    let below = |root: &&str| path.starts_with(root) && path != Path::new(root);
    ROOTS.iter().any(below)
}

/// Knowledge about VMs outside of the store: the view of their users.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// VMs whose creation succeeded, and the contents of their work disks.
    pub(crate) work: BTreeMap<VmId, Option<u64>>,
    /// Contents of the work disks of checkpoints that were made.
    pub(crate) checkpoints: BTreeMap<CheckpointId, u64>,
    /// VMs whose users let go of what is on their disks.
    pub(crate) discards: BTreeSet<VmId>,
    /// Sizes of work disks that users were told of.
    pub(crate) sizes: BTreeMap<VmId, u64>,
    /// VMs whose deletion was requested.
    pub(crate) doomed: BTreeSet<VmId>,
    /// Names that always belong to a VM: to the old or the new one while a VM is replaced.
    pub(crate) names: BTreeSet<String>,
    /// Leftovers of an imagined older build: directories without a claim, with a VMM that runs in one of them.
    pub(crate) strays: BTreeSet<PathBuf>,
    /// VMs whose row, or whose unfinished plan, another build or a bad disk has left unreadable.
    pub(crate) strange: BTreeSet<VmId>,
    /// An unfinished plan of a newer build, and its journal: nobody here may go on with it.
    pub(crate) newer: Option<(Uuid, Vec<(u32, StepState)>)>,
    /// A guest was asked to stand still.
    pub(crate) may_stand_still: bool,
    /// Key of the template that is being made.
    pub(crate) wanted_template: Option<ContentDigest>,
    /// Kernels of templates that were made.
    pub(crate) templates: BTreeMap<ContentDigest, ContentDigest>,
    /// Ends of VMMs by themselves, until something else is done with their VMs.
    pub(crate) ends: BTreeMap<VmId, Option<ExitCause>>,
    /// VMs whose network process could not be started: somebody tries again after a while.
    pub(crate) lack_nets: BTreeSet<VmId>,
    /// Number of reboots of guests by themselves, until something else is done with their VMs.
    pub(crate) reboots: BTreeMap<VmId, usize>,
}

/// The state of a machine.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) files: Files,
    pub(crate) processes: Processes,
    pub(crate) ledger: Ledger,
    pub(crate) manners: BTreeMap<String, Manners>,
    /// Names of VMs in whose roots another kernel was installed since theirs was taken.
    pub(crate) installed: BTreeSet<String>,
    pub(crate) clock_us: u64,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    /// True when the daemon is dead.
    pub(crate) dead: bool,
    /// The number of the daemon that has the machine to itself.
    pub(crate) daemon: u64,
    /// Last content of the store that was entirely on the disk, while a later one is not.
    pub(crate) kept: Option<Arc<Tables>>,
    /// Losses of the last power cut; the store learns of them when the next daemon opens it.
    pub(crate) lost: Option<Loss>,
    /// True once the power was cut.
    pub(crate) powered_down: bool,
    /// True when no power cut will follow: nothing need be kept for one.
    pub(crate) power_stays: bool,
    /// True when durable commits really survive a power cut.
    pub(crate) syncs: bool,
    /// Actions so far.
    pub(crate) actions: u64,
    /// Number of faults of each kind that struck.
    pub(crate) struck: BTreeMap<Mode, u64>,
    /// Rules that were broken.
    pub(crate) broken: Vec<String>,
    /// Log of all events, if requested.
    pub(crate) trace: Option<Vec<String>>,
    /// Natures of the actions, if requested.
    pub(crate) natures: Option<Vec<Nature>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut files = Files::new();
        for dir in std::iter::once("/s").chain(ROOTS) {
            // This cannot fail in an empty root.
            let _ = files.make_dir(Path::new(dir));
        }
        for dir in ["/", "/s"] {
            files.sync_dir(Path::new(dir));
        }
        Self {
            files,
            processes: Processes::new(),
            ledger: Ledger::default(),
            manners: BTreeMap::new(),
            installed: BTreeSet::new(),
            clock_us: 1_000_000,
            random: Random::new(seed),
            faults: Faults::None,
            dead: false,
            daemon: 0,
            powered_down: false,
            power_stays: false,
            syncs: true,
            kept: None,
            lost: None,
            actions: 0,
            struck: BTreeMap::new(),
            broken: Vec::new(),
            trace: None,
            natures: None,
        }
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let line = line();
            trace.push(line);
        }
    }

    pub(crate) fn broke(&mut self, rule: String) {
        self.note(|| format!("!!! {rule}"));
        if self.broken.len() < 8 {
            self.broken.push(rule);
        }
    }

    /// The whole machine loses its power and boots again.
    pub(crate) fn power_cut(&mut self, loss: Loss) {
        self.note(|| format!("--- power cut, losing {loss:?}"));
        self.files.power_cut(loss, &mut self.random);
        // The random mixture in a memory file system does not matter: it is empty.
        let run = Path::new(RUN);
        for child in self.files.list(run) {
            let _ = self.files.remove_tree(&child, false);
        }
        self.files.sync_dir(run);
        self.processes.power_cut();
        self.powered_down = true;
        self.lost = Some(loss);
    }

    /// Checks a change of a work disk: only its guest, or a request that means it, may change it. A name of what has another one in
    /// a layer may go, and so may a top with nothing in it.
    pub(crate) fn guard_work_disk(&mut self, path: &Path) {
        let has_it_alone = |disk: &PathBuf| {
            let content = self.files.file(disk);
            disk.starts_with(path)
                && content.is_some_and(|(content, _)| {
                    !matches!(content, Content::Torn | content::EMPTY_TOP)
                })
                && self.files.links(disk) == 1
        };
        let touched: Vec<VmId> = self
            .ledger
            .work
            .keys()
            .copied()
            .filter(|id| !self.ledger.doomed.contains(id))
            .filter(|id| !self.ledger.discards.contains(id))
            .filter(|id| crate::layout::work_disks(*id).iter().any(has_it_alone))
            .collect();
        for id in touched {
            self.broke(format!(
                "the work disk of {id} is touched at {}",
                path.display()
            ));
        }
    }

    /// Checks that a work disk is removed last: no other file of its VM may remain.
    pub(crate) fn guard_order(&mut self, path: &Path) {
        let is_it = |id: &VmId| {
            crate::layout::work_disks(*id)
                .iter()
                .any(|disk| disk == path)
        };
        let Some(id) = self.ledger.work.keys().copied().find(is_it) else {
            return;
        };
        // A switch of disks leaves one of two.
        let both = crate::layout::work_disks(id);
        if both.iter().all(|disk| self.files.exists(disk)) {
            return;
        }
        let dir = crate::layout::vm_dir(id);
        let others: Vec<PathBuf> = self.files.list(&dir);
        if self.powered_down {
            // Files that were removed before it may have come back.
            return;
        }
        if self.files.exists(path) && others.iter().any(|other| other != path) {
            self.broke(format!("the work disk of {id} goes before {others:?}"));
        }
    }

    /// Refuses a path that is not below a directory of banger's own, as the real host does. The request alone breaks a
    /// rule.
    pub(crate) fn guard_roots(&mut self, path: &Path) -> HostResult<()> {
        if is_own(path) {
            return Ok(());
        }
        let message = format!("{} is outside banger's directories", path.display());
        self.broke(message.clone());
        Err(ApiError::new(ErrorCode::Internal, message))
    }

    /// Checks that no VMM and no network process uses a directory that is removed.
    pub(crate) fn guard_vmm_dir(&mut self, path: &Path) {
        let living: Vec<PathBuf> = self
            .processes
            .launches()
            .flat_map(|(_, launch)| launch.disks.iter().chain([&launch.dir]))
            .filter(|used| used.starts_with(path))
            .cloned()
            .collect();
        for used in living {
            self.broke(format!("{} goes while a VMM uses it", used.display()));
        }
        let nets = self.processes.nets();
        let nets: Vec<PathBuf> = nets
            .map(|(_, net)| net.dir.clone())
            .filter(|dir| dir.starts_with(path))
            .collect();
        for used in nets {
            let used = used.display();
            self.broke(format!("{used} goes while a network process uses it"));
        }
    }

    pub(crate) fn whole(&self, path: &Path) -> bool {
        matches!(self.files.file(path), Some((Content::Whole(_), _)))
    }
}

/// The machine, shared by the threads of a daemon.
pub(crate) struct Machine {
    world: Mutex<World>,
    store: OnceLock<Arc<Store>>,
    schedule: Mutex<Option<Arc<Schedule>>>,
    /// Claims as they were read last; none when something was committed since.
    claims: Mutex<Option<Arc<Claims>>>,
    /// Its store has a log of events.
    pub(crate) tells_events: bool,
}

/// Part of an action that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The whole action.
    Whole,
    /// The part that is done before an interruption.
    Part,
}

fn dead() -> ApiError {
    ApiError::new(ErrorCode::ShuttingDown, "the daemon is dead")
}

impl Machine {
    /// A machine with an empty store.
    ///
    /// # Errors
    /// Fails when SQLite refuses.
    pub(crate) fn new() -> Result<Arc<Self>, StoreError> {
        Self::with(Store::open_in_memory()?, true)
    }

    /// The same without a log of events: returning to an earlier state a hundred thousand times would write most of them. The
    /// database writes an event in the transaction of its change, so a fault between two commits cannot part them.
    ///
    /// # Errors
    /// As [`Machine::new`].
    pub(crate) fn without_events() -> Result<Arc<Self>, StoreError> {
        let store = Store::open_in_memory()?;
        store.write(|tx| {
            let sql = "SELECT group_concat('DROP TRIGGER ' || name || ';', '') FROM sqlite_schema WHERE type = 'trigger'";
            let drop: String = tx.query_row(sql, [], |row| row.get(0))?;
            Ok(tx.execute_batch(&drop)?)
        })?;
        Self::with(store, false)
    }

    fn with(store: Store, tells_events: bool) -> Result<Arc<Self>, StoreError> {
        let machine = Arc::new(Self {
            world: Mutex::new(World::new(0)),
            store: OnceLock::new(),
            schedule: Mutex::new(None),
            claims: Mutex::new(None),
            tells_events,
        });
        let gate: Weak<Self> = Arc::downgrade(&machine);
        let store = store.gated(Box::new(move |durability| match gate.upgrade() {
            Some(machine) => machine.commit_point(durability),
            None => Err(StoreError::Closed),
        }));
        let _ = machine.store.set(Arc::new(store));
        Ok(machine)
    }

    pub(crate) fn store(&self) -> Result<&Arc<Store>, StoreError> {
        self.store.get().ok_or(StoreError::Closed)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All claims.
    pub(crate) fn claims(&self) -> Result<Arc<Claims>, StoreError> {
        let mut known = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = &*known {
            return Ok(Arc::clone(claims));
        }
        let claims = Arc::new(instant::claims(self.store()?)?);
        *known = Some(Arc::clone(&claims));
        Ok(claims)
    }

    /// Something is about to be committed: claims are to be read again. The one that commits has its turn until then.
    fn claims_change(&self) {
        *self.claims.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn set_schedule(&self, schedule: Option<Arc<Schedule>>) {
        *self.schedule.lock().unwrap_or_else(PoisonError::into_inner) = schedule;
    }

    pub(crate) fn schedule(&self) -> Option<Arc<Schedule>> {
        self.schedule
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Runs an action of a daemon on the machine.
    pub(crate) fn act<T>(
        &self,
        nature: Nature,
        what: &'static str,
        path: &Path,
        deadline: Duration,
        effect: impl FnOnce(&mut World, Extent) -> HostResult<T>,
    ) -> HostResult<T> {
        if let Some(schedule) = self.schedule() {
            schedule.point();
        }
        instant::check(self);
        let mut world = self.world();
        if world.dead {
            return Err(dead());
        }
        let n = world.actions;
        world.actions += 1;
        world.clock_us += 1_000;
        if let Some(natures) = &mut world.natures {
            natures.push(nature);
        }
        let Some(mode) = world.faults.hit(n, nature) else {
            world.note(|| format!("{n:4} {what} {}", path.display()));
            let result = effect(&mut world, Extent::Whole);
            if let Err(error) = &result {
                let line = format!("     └ {}", error.message);
                world.note(|| line);
            }
            return result;
        };
        *world.struck.entry(mode).or_default() += 1;
        world.note(|| format!("{n:4} {what} {} ◄── {mode:?}", path.display()));
        let given_up_us = world.clock_us + u64::try_from(deadline.as_micros()).unwrap_or(0);
        if mode.acts() {
            // The result of the partial effect is lost with its caller.
            let _ = effect(&mut world, Extent::Part);
        }
        if mode == Mode::Hang {
            // The effect may have waited until the same deadline.
            world.clock_us = world.clock_us.max(given_up_us);
        }
        if mode.ends_the_daemon() {
            world.dead = true;
            if let Some(loss) = mode.loss() {
                world.power_cut(loss);
            }
            return Err(dead());
        }
        let code = match mode {
            Mode::Hang => ErrorCode::Timeout,
            _ => ErrorCode::Internal,
        };
        let message = format!("cannot {what} {}: planted", path.display());
        Err(ApiError::new(code, message))
    }

    /// Opens the store in the state after a power cut.
    pub(crate) fn open_store(&self) -> Result<(), StoreError> {
        let mut world = self.world();
        world.dead = false;
        let (lost, kept) = (world.lost.take(), world.kept.take());
        let Some((loss, tables)) = lost.zip(kept) else {
            return Ok(());
        };
        let takes_back = match loss {
            Loss::All => true,
            Loss::Contents => false,
            Loss::Mixed => world.random.chance(1, 2),
        };
        if !takes_back {
            return Ok(());
        }
        // What it takes to put the tables back happens in no world.
        let mut after = world.clone();
        world.faults = Faults::None;
        drop(world);
        Tables::clone(&tables).put(self.store()?)?;
        after.note(|| "--- the store is as it was last synced".to_owned());
        *self.world() = after;
        Ok(())
    }

    /// Tells whether the store's durable content need not be kept before a change.
    fn is_remembered(&self) -> bool {
        let world = self.world();
        world.power_stays || world.kept.is_some()
    }

    /// Runs before each commit.
    fn commit_point(&self, durability: Durability) -> Result<(), StoreError> {
        let (none, what) = match durability {
            Durability::Now => (Duration::ZERO, "commit"),
            Durability::Soon => (Duration::ZERO, "commit, to be synced later"),
        };
        let kept = match self.world().syncs {
            true => durability,
            false => Durability::Soon,
        };
        let acted = self.act(Nature::Commit, what, Path::new(""), none, |_, _| Ok(()));
        self.claims_change();
        match acted {
            Ok(()) => match kept {
                Durability::Now => {
                    self.world().kept = None;
                    Ok(())
                }
                Durability::Soon if self.is_remembered() => Ok(()),
                Durability::Soon => {
                    let tables = Arc::new(Tables::read(self.store()?)?);
                    self.world().kept = Some(tables);
                    Ok(())
                }
            },
            Err(error) if error.code == ErrorCode::ShuttingDown => Err(StoreError::Closed),
            Err(_planted) => Err(StoreError::no_space()),
        }
    }
}
