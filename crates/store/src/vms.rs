//! VMs: the record of each, with the columns that must be unique or are searched.

use banger_api::{ImageName, KernelName, VmId, VmName, vm};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::error::is_unique;

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
    pub image_digest: String,
    /// Name of its kernel when it was made.
    pub kernel: KernelName,
    /// Digest of that kernel.
    pub kernel_digest: String,
    /// The engine's name.
    pub engine: String,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Size of the work disk in bytes; the file grows to it at the next start.
    pub disk_bytes: u64,
    /// Size of the system overlay in bytes.
    pub overlay_bytes: u64,
    /// How it is connected.
    pub net: vm::NetMode,
    /// What it may reach.
    pub egress: vm::Egress,
    /// Published ports.
    pub publish: Vec<vm::Publish>,
    /// It is deleted when its `run` ends.
    pub ephemeral: bool,
    /// What happens to it when the host went down while it ran.
    #[serde(default)]
    pub restart: vm::RestartPolicy,
    /// Settings changed since the last start.
    pub restart_needed: bool,
    /// Its VMM, as the engine's identity in JSON, while one runs.
    pub vmm: Option<serde_json::Value>,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// When its guest last became reachable, ms since 1970.
    pub started_ms: Option<i64>,
    /// Why it is in state `error`, or why it last ended by itself.
    pub error: Option<String>,
}

impl VmRecord {
    /// The ports that are published: a VM without a network has none. Those that it remembers are published again when it
    /// gets one.
    pub fn published(&self) -> &[vm::Publish] {
        match self.net {
            vm::NetMode::None => &[],
            vm::NetMode::User => &self.publish,
        }
    }
}

fn to_json(vm: &VmRecord) -> Result<String, StoreError> {
    serde_json::to_string(vm).map_err(|source| StoreError::Damaged {
        what: "a VM",
        source,
    })
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
    db.execute(
        "INSERT INTO vms (id, name, state, image, kernel, record, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            vm.id.to_string(),
            vm.name.as_str(),
            vm.state.as_str(),
            vm.image_digest,
            vm.kernel_digest,
            to_json(vm)?,
            vm.created_ms
        ],
    )
    .map_err(named(vm))?;
    Ok(())
}

/// Writes a VM's record back. `false`: there is no such VM any more.
///
/// # Errors
/// [`StoreError::NameTaken`] when it was renamed.
pub fn update(db: &Connection, vm: &VmRecord) -> Result<bool, StoreError> {
    let changed = db
        .execute(
            "UPDATE vms SET name = ?2, state = ?3, image = ?4, kernel = ?5, record = ?6 WHERE id = ?1",
            params![
                vm.id.to_string(),
                vm.name.as_str(),
                vm.state.as_str(),
                vm.image_digest,
                vm.kernel_digest,
                to_json(vm)?
            ],
        )
        .map_err(named(vm))?;
    Ok(changed > 0)
}

/// Removes a VM's row.
///
/// # Errors
/// Only the database's.
pub fn delete(db: &Connection, id: VmId) -> Result<(), StoreError> {
    db.execute("DELETE FROM vms WHERE id = ?1", params![id.to_string()])?;
    Ok(())
}

/// The VM with this id.
///
/// # Errors
/// The database's, and [`StoreError::Damaged`].
pub fn by_id(db: &Connection, id: VmId) -> Result<Option<VmRecord>, StoreError> {
    one(db, "SELECT record FROM vms WHERE id = ?1", &id.to_string())
}

/// The VM with this name.
///
/// # Errors
/// The database's, and [`StoreError::Damaged`].
pub fn by_name(db: &Connection, name: &str) -> Result<Option<VmRecord>, StoreError> {
    one(db, "SELECT record FROM vms WHERE name = ?1", name)
}

/// Whether a VM is made from the image files with this digest.
///
/// # Errors
/// Only the database's.
pub fn uses_image(db: &Connection, digest: &str) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM vms WHERE image = ?1")?;
    Ok(statement.exists([digest])?)
}

/// Whether a VM boots the kernel files with this digest.
///
/// # Errors
/// Only the database's.
pub fn uses_kernel(db: &Connection, digest: &str) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM vms WHERE kernel = ?1")?;
    Ok(statement.exists([digest])?)
}

fn one(db: &Connection, sql: &str, value: &str) -> Result<Option<VmRecord>, StoreError> {
    db.query_row(sql, params![value], |row| row.get::<_, String>(0))
        .optional()?
        .map(|text| parse(&text))
        .transpose()
}

/// All VMs, oldest first.
///
/// # Errors
/// The database's, and [`StoreError::Damaged`].
pub fn list(db: &Connection) -> Result<Vec<VmRecord>, StoreError> {
    let mut statement = db.prepare_cached("SELECT record FROM vms ORDER BY created_ms, id")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|row| parse(&row?)).collect()
}

fn parse(text: &str) -> Result<VmRecord, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Damaged {
        what: "a VM",
        source,
    })
}
