//! VMs: the record of each, with the columns that must be unique or are searched.

use banger_api::{
    ContentDigest, EngineName, ExitCause, ImageName, KernelName, Labels, VmId, VmName, vm,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::error::is_unique;
use crate::form::{self, Form, Salvage};
use crate::statement::execute;
use crate::{Owner, Reboots, RecordedVmm, StoreError, VmDisks, VmNetwork, layers};

/// The choice of the kernel of a VM's own root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnKernel {
    /// The VM boots a kernel of the host's.
    #[default]
    No,
    /// It is to boot the one of its root, which was not taken from there yet: the kernel of the record is the one that
    /// reads its root.
    Wanted,
    /// The kernel of the record was taken from its root.
    Taken,
}

/// One VM as the daemon knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmRecord {
    /// Its id.
    pub id: VmId,
    /// Its name, unique.
    pub name: VmName,
    /// Its state.
    pub state: vm::VmState,
    /// Name of its image when it was made.
    pub image: ImageName,
    /// Digest of that image: what its disks are made from.
    pub image_digest: ContentDigest,
    /// Name of its kernel when it was made.
    pub kernel: KernelName,
    /// Digest of that kernel.
    pub kernel_digest: ContentDigest,
    /// Tells whether it boots the kernel of its own root.
    #[serde(default)]
    pub own_kernel: OwnKernel,
    /// The engine's name.
    pub engine: EngineName,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Size of the work disk in bytes; the file grows to it at the next start.
    pub disk_bytes: u64,
    /// Size of the system overlay in bytes.
    pub overlay_bytes: u64,
    /// The files of its disks.
    #[serde(default, skip_serializing_if = "VmDisks::is_new")]
    pub disks: VmDisks,
    /// Its network.
    pub net: vm::NetMode,
    /// Its egress.
    pub egress: vm::Egress,
    /// Carrier of its packets, and its rules.
    #[serde(default)]
    pub network: VmNetwork,
    /// Published ports.
    pub publish: Vec<vm::Publish>,
    /// It is deleted when its `run` ends.
    pub ephemeral: bool,
    /// Its restart policy, for a host that went down while it ran.
    #[serde(default)]
    pub restart: vm::RestartPolicy,
    /// Keys and values that its user gave it.
    #[serde(default)]
    pub labels: Labels,
    /// Settings changed since the last start.
    pub restart_needed: bool,
    /// Size of the machine that runs, where settings were changed since it was started; it is of account only while the VM runs.
    #[serde(default)]
    pub runs: Option<vm::MachineSize>,
    /// Its VMM, as the engine's identity in JSON, while one runs.
    #[serde(default)]
    pub vmm: RecordedVmm,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// When its guest last became reachable, ms since 1970.
    pub started_ms: Option<i64>,
    /// Cause of state `error`, or of its last end by itself.
    pub error: Option<String>,
    /// Cause of its VMM's last end by itself.
    #[serde(default)]
    pub exit: Option<ExitCause>,
    /// Reboots of its guest.
    #[serde(default)]
    pub reboots: Reboots,
    /// Damage of its row: then this holds what of it still can be read, and its state is `error`.
    #[serde(skip)]
    pub damage: Option<String>,
}

impl VmRecord {
    /// The ports that are published: a VM without a network has none. Those that it remembers are published again when
    /// it gets one.
    pub fn published(&self) -> &[vm::Publish] {
        match self.net {
            vm::NetMode::None => &[],
            vm::NetMode::User => &self.publish,
        }
    }
}

impl Form for VmRecord {
    const WHAT: &'static str = "VM";
    // A build before version 3 would write a record back without its labels, one before version 4 without its rules, one before
    // version 5 without its address, whose claim would stay, one before version 6 without its named networks and the choice of its own kernel,
    // one before version 7 without its secrets, one before version 8 without the layers of its disks.
    const VERSION: u32 = 8;

    fn brought_forward(&mut self, version: u32) {
        // Version 1 kept the cause of an end as its sentence alone.
        if version == 1 {
            self.exit = self.error.as_deref().and_then(ExitCause::of_format_1);
        }
    }
}

impl VmRecord {
    /// Content of the columns and the readable fields of a damaged row.
    fn damaged(row: &VmRow, id: VmId, why: String) -> Self {
        let salvage = Salvage::of(&row.record);
        Self {
            id,
            name: row
                .name
                .parse()
                .unwrap_or_else(|_invalid| VmName::unreadable()),
            state: match row.state == vm::VmState::Deleting.as_str() {
                true => vm::VmState::Deleting,
                false => vm::VmState::Error,
            },
            image: salvage.field("image").unwrap_or_else(ImageName::unreadable),
            image_digest: row.image.parse().unwrap_or(ContentDigest::UNKNOWN),
            kernel: salvage
                .field("kernel")
                .unwrap_or_else(KernelName::unreadable),
            kernel_digest: row.kernel.parse().unwrap_or(ContentDigest::UNKNOWN),
            own_kernel: salvage.field("own_kernel").unwrap_or_default(),
            engine: salvage
                .field("engine")
                .unwrap_or_else(EngineName::unreadable),
            vcpu: salvage.field("vcpu").unwrap_or(0),
            memory_mib: salvage.field("memory_mib").unwrap_or(0),
            disk_bytes: salvage.field("disk_bytes").unwrap_or(0),
            overlay_bytes: salvage.field("overlay_bytes").unwrap_or(0),
            disks: salvage.field("disks").unwrap_or_default(),
            net: salvage.field("net").unwrap_or(vm::NetMode::None),
            egress: salvage.field("egress").unwrap_or(vm::Egress::None),
            network: salvage.field("network").unwrap_or_default(),
            publish: Vec::new(),
            ephemeral: false,
            restart: vm::RestartPolicy::No,
            labels: salvage.field("labels").unwrap_or_default(),
            restart_needed: false,
            runs: None,
            // Nothing is known of its VMM, which is not to say that there is none.
            vmm: RecordedVmm::Unreadable {
                stored: serde_json::Value::Null,
                why: "the whole record is damaged".to_owned(),
            },
            created_ms: row.created_ms,
            started_ms: None,
            error: Some(format!("its record in the store is damaged: {why}")),
            exit: None,
            reboots: Reboots::default(),
            damage: Some(why),
        }
    }
}

/// A row of the table, as it is stored.
struct VmRow {
    id: String,
    name: String,
    state: String,
    image: String,
    kernel: String,
    record: String,
    created_ms: i64,
    version: i64,
}

impl VmRow {
    const COLUMNS: &'static str = "id, name, state, image, kernel, record, created_ms, version";

    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            state: row.get(2)?,
            image: row.get(3)?,
            kernel: row.get(4)?,
            record: row.get(5)?,
            created_ms: row.get(6)?,
            version: row.get(7)?,
        })
    }

    /// The record, or what a damaged row still says. `None`: not even its id can be read, so nothing can refer to it.
    fn record(&self) -> Option<VmRecord> {
        let id = self.id.parse().ok()?;
        let why = match form::read::<VmRecord>(self.version, &self.record) {
            Ok(record) if record.id == id => return Some(record),
            Ok(record) => format!("it says that its id is {}", record.id),
            Err(why) => why,
        };
        Some(VmRecord::damaged(self, id, why))
    }
}

/// A VM as a user of layers.
fn user(vm: VmId) -> String {
    Owner::Vm(vm).to_string()
}

fn named(vm: &VmRecord) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
    move |error| match is_unique(&error) {
        true => StoreError::NameTaken {
            what: "VM",
            name: vm.name.to_string(),
        },
        false => error.into(),
    }
}

/// Adds a VM.
///
/// # Errors
/// [`StoreError::NameTaken`].
pub fn insert(db: &Connection, vm: &VmRecord) -> Result<(), StoreError> {
    execute(
        db,
        "INSERT INTO vms (id, name, state, image, kernel, record, created_ms, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            vm.id.to_string(),
            vm.name.as_str(),
            vm.state.as_str(),
            vm.image_digest.to_string(),
            vm.kernel_digest.to_string(),
            form::write(vm)?,
            vm.created_ms,
            VmRecord::VERSION,
        ],
    )
    .map_err(named(vm))?;
    layers::set_users(db, &user(vm.id), &vm.disks.needs())
}

/// Writes a VM's record back. `false`: there is no such VM any more. Of a damaged one only the state's column is
/// written: the row stays as it was found.
///
/// # Errors
/// [`StoreError::NameTaken`] when it was renamed.
pub fn update(db: &Connection, vm: &VmRecord) -> Result<bool, StoreError> {
    if vm.damage.is_some() {
        let sql = "UPDATE vms SET state = ?2 WHERE id = ?1";
        let changed = execute(db, sql, params![vm.id.to_string(), vm.state.as_str()])?;
        return Ok(changed > 0);
    }
    let changed = execute(
        db,
        "UPDATE vms SET name = ?2, state = ?3, image = ?4, kernel = ?5, record = ?6, version = ?7
             WHERE id = ?1",
        params![
            vm.id.to_string(),
            vm.name.as_str(),
            vm.state.as_str(),
            vm.image_digest.to_string(),
            vm.kernel_digest.to_string(),
            form::write(vm)?,
            VmRecord::VERSION,
        ],
    )
    .map_err(named(vm))?;
    if changed > 0 {
        layers::set_users(db, &user(vm.id), &vm.disks.needs())?;
    }
    Ok(changed > 0)
}

/// Removes a VM's row.
///
/// # Errors
/// Only the database's.
pub fn delete(db: &Connection, id: VmId) -> Result<(), StoreError> {
    execute(db, "DELETE FROM vms WHERE id = ?1", params![id.to_string()])?;
    layers::set_users(db, &user(id), &[])
}

/// The VM with this id, damaged or not: see [`VmRecord::damage`].
///
/// # Errors
/// Only the database's.
pub fn by_id(db: &Connection, id: VmId) -> Result<Option<VmRecord>, StoreError> {
    one(db, "id", &id.to_string())
}

/// The VM with this name, damaged or not.
///
/// # Errors
/// Only the database's.
pub fn by_name(db: &Connection, name: &str) -> Result<Option<VmRecord>, StoreError> {
    one(db, "name", name)
}

/// Tells whether a VM is made from the image files with this digest.
///
/// # Errors
/// Only the database's.
pub fn uses_image(db: &Connection, digest: &ContentDigest) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM vms WHERE image = ?1")?;
    Ok(statement.exists([digest.to_string()])?)
}

/// Tells whether a VM boots the kernel files with this digest.
///
/// # Errors
/// Only the database's.
pub fn uses_kernel(db: &Connection, digest: &ContentDigest) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM vms WHERE kernel = ?1")?;
    Ok(statement.exists([digest.to_string()])?)
}

/// The names of all VMs, in their order.
///
/// # Errors
/// Only the database's.
pub fn names(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = db.prepare_cached("SELECT name FROM vms ORDER BY name")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn one(db: &Connection, column: &str, value: &str) -> Result<Option<VmRecord>, StoreError> {
    let sql = format!("SELECT {} FROM vms WHERE {column} = ?1", VmRow::COLUMNS);
    let row = db
        .prepare_cached(&sql)?
        .query_row([value], VmRow::of)
        .optional()?;
    Ok(row.and_then(|row| row.record()))
}

/// All VMs, oldest first, the damaged ones among them.
///
/// # Errors
/// Only the database's.
pub fn list(db: &Connection) -> Result<Vec<VmRecord>, StoreError> {
    let sql = format!("SELECT {} FROM vms ORDER BY created_ms, id", VmRow::COLUMNS);
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([], VmRow::of)?;
    let records = rows.filter_map(|row| row.map(|row| row.record()).transpose());
    Ok(records.collect::<Result<_, _>>()?)
}
