//! Operations, their plans, and how far each step got.
//!
//! ```text
//! operation ──1:n── plan (JSON, written before anything happens) ──1:n── step: applying ─► applied
//!                                                                                  └─► reverting ─► reverted
//! ```

use banger_api::operation::{OperationKind, OperationState, StepState};
use banger_api::{OperationId, VmId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use crate::StoreError;
use crate::statement::execute;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRecord {
    /// Its id.
    pub id: OperationId,
    /// The work that it does.
    pub kind: OperationKind,
    /// The VM it concerns.
    pub vm: Option<VmId>,
    /// That VM's name at the time: the log is read after the VM is gone, too.
    pub vm_name: Option<String>,
    /// Its state.
    pub state: OperationState,
    /// When it began, ms since 1970.
    pub started_ms: i64,
    /// When it ended, ms since 1970.
    pub finished_ms: Option<i64>,
    /// Its error, as JSON.
    pub error: Option<String>,
}

/// One plan, as it was written before its first step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// Its id.
    pub id: Uuid,
    /// Its operation.
    pub operation: OperationId,
    /// Version of the plan's JSON.
    pub version: u32,
    /// The plan as JSON.
    pub plan: String,
}

/// A row of an operation or plan whose ids cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// `operation`, `plan`.
    pub what: &'static str,
    /// Its id, as it is stored.
    pub id: String,
    /// Cause that it cannot be read.
    pub why: String,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalStep {
    /// Its place in the plan, from 0.
    pub n: u32,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StepState,
    /// When it got there, ms since 1970.
    pub at_ms: i64,
    /// Time that it took to be applied, in microseconds.
    pub us: Option<u64>,
    /// Cause of the failure.
    pub error: Option<String>,
}

/// Writes an operation's row.
///
/// # Errors
/// Only the database's.
pub fn insert_operation(db: &Connection, op: &OperationRecord) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO operations (id, kind, vm, vm_name, state, started_ms, finished_ms, error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        op.id.to_string(),
        op.kind.as_str(),
        op.vm.map(|id| id.to_string()),
        op.vm_name,
        op.state.as_str(),
        op.started_ms,
        op.finished_ms,
        op.error
    ])?;
    Ok(())
}

/// Writes how an operation ended.
///
/// # Errors
/// Only the database's.
pub fn finish_operation(
    db: &Connection,
    id: OperationId,
    state: OperationState,
    at_ms: i64,
    error: Option<&str>,
) -> Result<(), StoreError> {
    execute(
        db,
        "UPDATE operations SET state = ?2, finished_ms = ?3, error = ?4 WHERE id = ?1",
        params![id.to_string(), state.as_str(), at_ms, error],
    )?;
    Ok(())
}

/// Writes a plan before anything of it happens.
///
/// # Errors
/// Only the database's.
pub fn begin_plan(db: &Connection, plan: &PlanRecord) -> Result<(), StoreError> {
    db.prepare_cached("INSERT INTO plans (id, operation, plan, version) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            plan.id.to_string(),
            plan.operation.to_string(),
            plan.plan,
            plan.version
        ])?;
    Ok(())
}

/// Marks a plan as finished: recovery leaves it alone from now on.
///
/// # Errors
/// Only the database's.
pub fn finish_plan(db: &Connection, id: Uuid) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE plans SET finished = 1 WHERE id = ?1")?
        .execute([id.to_string()])?;
    Ok(())
}

/// Marks as finished what is left unfinished of the operations on a VM, which is gone. Plans of files that they needed besides
/// (an image, a kernel) are no business of the VM's: they stay, to be undone.
///
/// # Errors
/// Only the database's.
pub fn abandon_plans(db: &Connection, vm: VmId) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE plans SET finished = 1 WHERE finished = 0
         AND operation IN (SELECT id FROM operations WHERE vm = ?1)
         AND NOT (json_valid(plan) AND json_extract(plan, '$.vm') IS NULL)",
    )?
    .execute([vm.to_string()])?;
    Ok(())
}

/// Writes how far a step got.
///
/// # Errors
/// Only the database's.
pub fn set_step(db: &Connection, plan: Uuid, step: &JournalStep) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO steps (plan, n, name, state, at_ms, us, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (plan, n) DO UPDATE SET state = ?4, at_ms = ?5,
             us = coalesce(?6, us), error = coalesce(?7, error)",
    )?
    .execute(params![
        plan.to_string(),
        step.n,
        step.name,
        step.state.as_str(),
        step.at_ms,
        step.us,
        step.error
    ])?;
    Ok(())
}

/// Plans that a crash left unfinished, in the order of their beginning.
///
/// # Errors
/// Only the database's.
pub fn unfinished_plans(db: &Connection) -> Result<Vec<PlanRecord>, StoreError> {
    let mut statement = db.prepare_cached(UNFINISHED)?;
    readable(statement.query_map([], plan_row)?)
}

const UNFINISHED: &str =
    "SELECT id, operation, plan, version FROM plans WHERE finished = 0 ORDER BY id";

fn plan_row(row: &Row<'_>) -> rusqlite::Result<PlanRecord> {
    Ok(PlanRecord {
        id: id(row, 0)?,
        operation: OperationId(id(row, 1)?),
        plan: row.get(2)?,
        version: row.get(3)?,
    })
}

/// The rows that can be read; the others are found by [`unreadable`].
fn readable<T>(rows: impl Iterator<Item = rusqlite::Result<T>>) -> Result<Vec<T>, StoreError> {
    let damaged = |error: &rusqlite::Error| {
        matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
        )
    };
    let mut found = Vec::new();
    for row in rows {
        match row {
            Ok(row) => found.push(row),
            Err(error) if damaged(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Unfinished plans and running operations whose rows cannot be read. They stay as they are.
///
/// # Errors
/// Only the database's.
pub fn unreadable(db: &Connection) -> Result<Vec<UnreadableRow>, StoreError> {
    let mut found = Vec::new();
    let mut plans = db.prepare_cached(UNFINISHED)?;
    let mut rows = plans.query([])?;
    while let Some(row) = rows.next()? {
        if let Err(why) = plan_row(row) {
            let (what, id, why) = ("plan", row.get(0)?, why.to_string());
            found.push(UnreadableRow { what, id, why });
        }
    }
    let mut operations = db.prepare_cached(&format!(
        "{OPERATION} WHERE finished_ms IS NULL ORDER BY id"
    ))?;
    let mut rows = operations.query([])?;
    while let Some(row) = rows.next()? {
        if let Err(why) = operation_row(row) {
            let (what, id, why) = ("operation", row.get(0)?, why.to_string());
            found.push(UnreadableRow { what, id, why });
        }
    }
    Ok(found)
}

/// The journal of a plan.
///
/// # Errors
/// Only the database's.
pub fn steps(db: &Connection, plan: Uuid) -> Result<Vec<JournalStep>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT n, name, state, at_ms, us, error FROM steps WHERE plan = ?1 ORDER BY n",
    )?;
    let rows = statement.query_map([plan.to_string()], |row| {
        Ok(JournalStep {
            n: row.get(0)?,
            name: row.get(1)?,
            state: StepState::of(row.get_ref(2)?.as_str()?),
            at_ms: row.get(3)?,
            us: row.get(4)?,
            error: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The journals of all plans of an operation, in the order in which the plans were begun.
///
/// # Errors
/// Only the database's.
pub fn steps_of_operation(
    db: &Connection,
    operation: OperationId,
) -> Result<Vec<JournalStep>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT id FROM plans WHERE operation = ?1 ORDER BY id")?;
    let plans = readable(statement.query_map([operation.to_string()], |row| id(row, 0))?)?;
    let journals = plans.into_iter().map(|plan| steps(db, plan));
    Ok(journals
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// One operation.
///
/// # Errors
/// Only the database's.
pub fn operation(db: &Connection, id: OperationId) -> Result<Option<OperationRecord>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{OPERATION} WHERE id = ?1"))?;
    Ok(statement
        .query_row([id.to_string()], operation_row)
        .optional()?)
}

/// The newest operations, newest first; of one VM (by id or by the name it had) when `vm` is given.
///
/// # Errors
/// Only the database's.
pub fn operations(
    db: &Connection,
    vm: Option<&str>,
    limit: u32,
) -> Result<Vec<OperationRecord>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "{OPERATION} WHERE ?1 IS NULL OR vm = ?1 OR vm_name = ?1 ORDER BY id DESC LIMIT ?2"
    ))?;
    readable(statement.query_map(params![vm, limit], operation_row)?)
}

const OPERATION: &str =
    "SELECT id, kind, vm, vm_name, state, started_ms, finished_ms, error FROM operations";

fn operation_row(row: &Row<'_>) -> rusqlite::Result<OperationRecord> {
    let vm = match row.get_ref(2)? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(VmId(id(row, 2)?)),
    };
    let finished_ms = row.get(6)?;
    Ok(OperationRecord {
        id: OperationId(id(row, 0)?),
        kind: OperationKind::of(row.get_ref(1)?.as_str()?),
        vm,
        vm_name: row.get(3)?,
        state: state_of(row.get_ref(4)?.as_str()?, finished_ms),
        started_ms: row.get(5)?,
        finished_ms,
        error: row.get(7)?,
    })
}

/// The least that can be assumed of a word that is not known: an operation without an end runs, another one has failed.
fn state_of(word: &str, finished_ms: Option<i64>) -> OperationState {
    OperationState::of(word).unwrap_or(match finished_ms {
        None => OperationState::Running,
        Some(_) => OperationState::Failed,
    })
}

/// Removes finished operations that began before `before_ms`, with their plans and steps. How many went.
///
/// # Errors
/// Only the database's.
pub fn trim(db: &Connection, before_ms: i64) -> Result<usize, StoreError> {
    Ok(execute(
        db,
        "DELETE FROM operations WHERE finished_ms IS NOT NULL AND started_ms < ?1
         AND NOT EXISTS (SELECT 1 FROM plans WHERE operation = operations.id AND finished = 0)",
        params![before_ms],
    )?)
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    let text: String = row.get(column)?;
    Uuid::parse_str(&text).map_err(|source| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(source),
        )
    })
}
