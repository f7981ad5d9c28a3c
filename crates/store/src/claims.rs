//! Claims: who owns what on this host. A claim is written before its resource is made.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use banger_api::{ContentDigest, LayerId, OperationId, VmId};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::error::is_unique;
use crate::statement::execute;

/// Kinds of things that are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// A directory with all that is in it; the resource is its path.
    Directory,
    /// A process that outlives the daemon; the resource is the token of its start. Until version 2 of the store only
    /// VMMs were claimed, as `vmm`.
    #[serde(alias = "vmm")]
    Process,
    /// A port of the host; the resource is `address:port`.
    HostPort,
    /// A user of the host that one process alone is; the resource is its number.
    User,
    /// An address of the host's loopback network that is one VM's alone for its life.
    Address,
}

impl ClaimKind {
    const ALL: [Self; 5] = [
        Self::Directory,
        Self::Process,
        Self::HostPort,
        Self::User,
        Self::Address,
    ];

    /// The word for it in the store and for users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Process => "process",
            Self::HostPort => "host_port",
            Self::User => "user",
            Self::Address => "address",
        }
    }
}

/// Owners of claims.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A VM.
    Vm(VmId),
    /// An image's files, by digest.
    Image(ContentDigest),
    /// A kernel's files, by digest.
    Kernel(ContentDigest),
    /// A frozen layer of disks, which belongs to all that are counted as its users.
    Layer(LayerId),
    /// An operation, while it makes something that has no other owner yet.
    Operation(OperationId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vm(id) => write!(f, "vm:{id}"),
            Self::Image(digest) => write!(f, "image:{digest}"),
            Self::Kernel(digest) => write!(f, "kernel:{digest}"),
            Self::Layer(id) => write!(f, "layer:{id}"),
            Self::Operation(id) => write!(f, "operation:{id}"),
        }
    }
}

/// Text that names no owner that this build knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no owner of claims")]
pub struct UnknownOwner;

impl FromStr for Owner {
    type Err = UnknownOwner;
    fn from_str(text: &str) -> Result<Self, UnknownOwner> {
        let (kind, id) = text.split_once(':').ok_or(UnknownOwner)?;
        fn read<T: FromStr>(id: &str) -> Result<T, UnknownOwner> {
            id.parse().map_err(|_unreadable| UnknownOwner)
        }
        Ok(match kind {
            "vm" => Self::Vm(read(id)?),
            "image" => Self::Image(read(id)?),
            "kernel" => Self::Kernel(read(id)?),
            "layer" => Self::Layer(read(id)?),
            "operation" => Self::Operation(read(id)?),
            _ => return Err(UnknownOwner),
        })
    }
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Its kind.
    pub kind: ClaimKind,
    /// The thing itself.
    pub resource: String,
}

impl Claim {
    /// The claim of a port of this host.
    pub fn host_port(ip: IpAddr, port: u16) -> Self {
        Self::new(ClaimKind::HostPort, format!("{ip}:{port}"))
    }

    /// A claim of this kind on this resource.
    pub fn new(kind: ClaimKind, resource: impl Into<String>) -> Self {
        Self {
            kind,
            resource: resource.into(),
        }
    }
}

/// A claim whose kind cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableClaim {
    /// The word for its kind.
    pub kind: String,
    /// The resource.
    pub resource: String,
    /// The owner, as it is stored.
    pub owner: String,
}

/// Adds a claim. To claim again what one owns changes nothing.
///
/// # Errors
/// [`StoreError::Claimed`] when somebody else owns it.
pub fn add(db: &Connection, claim: &Claim, owner: &Owner) -> Result<(), StoreError> {
    let inserted = execute(
        db,
        "INSERT INTO claims (kind, resource, owner) VALUES (?1, ?2, ?3)",
        params![claim.kind.as_str(), claim.resource, owner.to_string()],
    );
    match inserted {
        Ok(_) => Ok(()),
        Err(error) if is_unique(&error) => {
            let present: Option<String> = db
                .query_row(
                    "SELECT owner FROM claims WHERE kind = ?1 AND resource = ?2",
                    params![claim.kind.as_str(), claim.resource],
                    |row| row.get(0),
                )
                .optional()?;
            match present {
                Some(present) if present == owner.to_string() => Ok(()),
                present => {
                    let owner = present.unwrap_or_default();
                    Err(StoreError::Claimed {
                        kind: claim.kind,
                        resource: claim.resource.clone(),
                        vm: name_of_vm(db, &owner)?,
                        owner,
                    })
                }
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// The name of the VM that is this owner.
fn name_of_vm(db: &Connection, owner: &str) -> Result<Option<String>, StoreError> {
    let Ok(Owner::Vm(id)) = owner.parse() else {
        return Ok(None);
    };
    let sql = "SELECT name FROM vms WHERE id = ?1";
    let id = id.to_string();
    Ok(db.query_row(sql, [id], |row| row.get(0)).optional()?)
}

/// Tells whether anybody has a claim.
///
/// # Errors
/// Only the database's.
pub fn is_taken(db: &Connection, claim: &Claim) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM claims WHERE kind = ?1 AND resource = ?2";
    let words = params![claim.kind.as_str(), claim.resource];
    let found: Option<i64> = db.query_row(sql, words, |row| row.get(0)).optional()?;
    Ok(found.is_some())
}

/// Releases a claim of `owner`; one that is not there, or not its own, stays as it is.
///
/// # Errors
/// Only the database's.
pub fn release(db: &Connection, claim: &Claim, owner: &Owner) -> Result<(), StoreError> {
    execute(
        db,
        "DELETE FROM claims WHERE kind = ?1 AND resource = ?2 AND owner = ?3",
        params![claim.kind.as_str(), claim.resource, owner.to_string()],
    )?;
    Ok(())
}

/// Releases all claims of `owner`.
///
/// # Errors
/// Only the database's.
pub fn release_all(db: &Connection, owner: &Owner) -> Result<(), StoreError> {
    execute(
        db,
        "DELETE FROM claims WHERE owner = ?1",
        params![owner.to_string()],
    )?;
    Ok(())
}

/// Releases all claims of a kind that `owner` has.
///
/// # Errors
/// Only the database's.
pub fn release_kind(db: &Connection, kind: ClaimKind, owner: &Owner) -> Result<(), StoreError> {
    let words = params![kind.as_str(), owner.to_string()];
    execute(
        db,
        "DELETE FROM claims WHERE kind = ?1 AND owner = ?2",
        words,
    )?;
    Ok(())
}

/// Hands a claim over.
///
/// # Errors
/// Only the database's.
pub fn transfer(
    db: &Connection,
    claim: &Claim,
    from: &Owner,
    to: &Owner,
) -> Result<(), StoreError> {
    execute(
        db,
        "UPDATE claims SET owner = ?4 WHERE kind = ?1 AND resource = ?2 AND owner = ?3",
        params![
            claim.kind.as_str(),
            claim.resource,
            from.to_string(),
            to.to_string()
        ],
    )?;
    Ok(())
}

fn query(
    db: &Connection,
    filter: &str,
    value: Option<String>,
) -> Result<Vec<(Claim, String)>, StoreError> {
    let sql = format!("SELECT kind, resource, owner FROM claims {filter} ORDER BY kind, resource");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(value), |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
        ))
    })?;
    let mut claims = Vec::new();
    for row in rows {
        let (kind, resource, owner) = row?;
        // A kind that this version does not know stays claimed: see `unreadable`.
        if let Some(kind) = ClaimKind::ALL.into_iter().find(|k| k.as_str() == kind) {
            claims.push((Claim { kind, resource }, owner));
        }
    }
    Ok(claims)
}

/// All claims with their owners, as text.
///
/// # Errors
/// Only the database's.
pub fn list(db: &Connection) -> Result<Vec<(Claim, String)>, StoreError> {
    query(db, "", None)
}

/// Claims of a kind that cannot be read: what they claim has an owner all the same.
///
/// # Errors
/// Only the database's.
pub fn unreadable(db: &Connection) -> Result<Vec<UnreadableClaim>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT kind, resource, owner FROM claims ORDER BY kind, resource")?;
    let rows = statement.query_map([], |row| {
        Ok(UnreadableClaim {
            kind: row.get(0)?,
            resource: row.get(1)?,
            owner: row.get(2)?,
        })
    })?;
    let claims: Vec<UnreadableClaim> = rows.collect::<Result<_, _>>()?;
    let known = |claim: &UnreadableClaim| ClaimKind::ALL.iter().any(|k| k.as_str() == claim.kind);
    Ok(claims.into_iter().filter(|claim| !known(claim)).collect())
}

/// The claims of one owner.
///
/// # Errors
/// Only the database's.
pub fn of_owner(db: &Connection, owner: &Owner) -> Result<Vec<Claim>, StoreError> {
    let rows = query(db, "WHERE owner = ?1", Some(owner.to_string()))?;
    Ok(rows.into_iter().map(|(claim, _)| claim).collect())
}
