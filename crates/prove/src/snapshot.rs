//! An earlier state of a machine and its store, to return to.

use banger_store::{Connection, Store, StoreError};

use crate::machine::{Machine, World};

/// Tables in the order of their references: referenced ones first.
const TABLES: [(&str, usize); 10] = [
    ("vms", 8),
    ("images", 4),
    ("kernels", 4),
    ("checkpoints", 6),
    ("layer_users", 2),
    ("claims", 3),
    ("operations", 8),
    ("plans", 5),
    ("steps", 7),
    EVENTS,
];

/// The database writes it for each change of the others: it comes last, and anew.
const EVENTS: (&str, usize) = ("events", 4);

type Row = Vec<Value>;

#[derive(Debug, Clone)]
enum Value {
    Null,
    Integer(i64),
    Text(String),
}

/// Contents of a store.
#[derive(Debug, Clone)]
pub(crate) struct Tables(Vec<Vec<Row>>);

impl Tables {
    pub(crate) fn read(store: &Store) -> Result<Self, StoreError> {
        store.read(|db| {
            TABLES
                .iter()
                .map(|(table, columns)| rows(db, table, *columns))
                .collect::<Result<_, _>>()
                .map(Self)
        })
    }

    /// Replaces the contents of the store with these.
    pub(crate) fn put(self, store: &Store) -> Result<(), StoreError> {
        store.write(move |db| {
            for (table, _) in TABLES.iter().rev() {
                db.prepare_cached(&format!("DELETE FROM {table}"))?
                    .execute([])?;
            }
            for ((table, columns), rows) in TABLES.iter().zip(self.0) {
                if *table == EVENTS.0 {
                    db.prepare_cached("DELETE FROM events")?.execute([])?;
                }
                let marks = vec!["?"; *columns].join(", ");
                let mut insert =
                    db.prepare_cached(&format!("INSERT INTO {table} VALUES ({marks})"))?;
                for row in rows {
                    for (index, value) in row.into_iter().enumerate() {
                        match value {
                            Value::Null => insert.raw_bind_parameter(index + 1, None::<i64>)?,
                            Value::Integer(n) => insert.raw_bind_parameter(index + 1, n)?,
                            Value::Text(text) => insert.raw_bind_parameter(index + 1, text)?,
                        }
                    }
                    insert.raw_execute()?;
                }
            }
            Ok(())
        })
    }
}

/// The whole state.
#[derive(Clone)]
pub(crate) struct Snapshot {
    world: World,
    tables: Tables,
}

fn rows(db: &Connection, table: &str, columns: usize) -> Result<Vec<Row>, StoreError> {
    let mut statement = db.prepare_cached(&format!("SELECT * FROM {table}"))?;
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            let value: Option<i64> = row.get(column).ok().flatten();
            values.push(match value {
                Some(number) => Value::Integer(number),
                None => row
                    .get::<_, Option<String>>(column)?
                    .map_or(Value::Null, Value::Text),
            });
        }
        rows.push(values);
    }
    Ok(rows)
}

impl Snapshot {
    pub(crate) fn take(machine: &Machine) -> Result<Self, StoreError> {
        let tables = Tables::read(machine.store()?)?;
        let mut world = machine.world().clone();
        world.actions = 0;
        world.dead = false;
        world.faults = crate::fault::Faults::None;
        Ok(Self { world, tables })
    }

    /// The same, with a log of all events from here on.
    pub(crate) fn traced(&self) -> Self {
        let mut traced = self.clone();
        traced.world.trace = Some(Vec::new());
        traced
    }

    pub(crate) fn restore(&self, machine: &Machine) -> Result<(), StoreError> {
        {
            let mut world = machine.world();
            world.dead = false;
            world.faults = crate::fault::Faults::None;
        }
        self.tables.clone().put(machine.store()?)?;
        *machine.world() = self.world.clone();
        Ok(())
    }
}
