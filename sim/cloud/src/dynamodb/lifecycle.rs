//! With limits, tables take their time: CREATING, UPDATING and DELETING last a few seconds of the clock.
//!
//! AWS promises no time; six seconds were seen. Meanwhile the table refuses what AWS refuses: items of a table that is being
//! made or deleted are not found, and a table that is changing cannot be changed; PartiQL is not looked into. Without limits
//! every change is done when it is answered. What goes on is kept beside the tables, so a deletion that was answered is
//! finished after a restart. A table is really deleted when its time is up and somebody asks for anything of tables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynoxide::Database;
use dynoxide::actions::delete_table::DeleteTableRequest;
use lakebed_contract::Timestamp;
use rusqlite::params;
use serde_json::{Value, json};

use super::answer::Failure;
use super::changes::ChangeLog;
use super::operations::{self, Store};
use crate::config::Limits;

const CHANGE_TIME: Duration = Duration::from_secs(6);

/// Operations that read or write items.
const OF_ITEMS: [&str; 10] = [
    "PutItem",
    "GetItem",
    "DeleteItem",
    "UpdateItem",
    "Query",
    "Scan",
    "BatchGetItem",
    "BatchWriteItem",
    "TransactGetItems",
    "TransactWriteItems",
];

/// What goes on with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Creating,
    Updating,
    Deleting,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        [Self::Creating, Self::Updating, Self::Deleting].into_iter().find(|status| status.name() == name)
    }

    /// The refusal of a further change.
    fn in_use(self, table: &str) -> Failure {
        let done = match self {
            Self::Creating => "created",
            Self::Updating => "updated",
            Self::Deleting => "deleted",
        };
        let told = format!("Attempt to change a resource which is still in use: Table is being {done}: {table}");
        Failure::service("ResourceInUseException", &told)
    }
}

type Changing = BTreeMap<String, (Status, Timestamp)>;

/// The tables that are changing.
#[derive(Debug)]
pub(super) struct Lifecycle {
    changes: Arc<ChangeLog>,
    has_limits: bool,
    changing: Mutex<Changing>,
}

/// One request, and how to run it.
pub(super) struct Asked<'a> {
    pub(super) tables: &'a Database,
    pub(super) host: &'a str,
    pub(super) operation: &'a str,
    pub(super) body: &'a str,
    pub(super) now: Timestamp,
}

impl Asked<'_> {
    fn run(&self, changes: &ChangeLog) -> Result<String, Failure> {
        let _turn = changes.turn_of_tables(self.now)?;
        operations::run(&Store { tables: self.tables, changes }, self.host, self.operation, self.body)
    }
}

impl Lifecycle {
    pub(super) fn open(changes: Arc<ChangeLog>, limits: Limits) -> rusqlite::Result<Self> {
        let changing = Mutex::new(changes.changing()?);
        Ok(Self { changes, has_limits: limits == Limits::Aws, changing })
    }

    /// Runs an operation as the state of its tables allows.
    pub(super) fn run(&self, asked: &Asked<'_>) -> Result<String, Failure> {
        let changing = self.settled(asked)?;
        if !self.has_limits {
            drop(changing);
            return asked.run(&self.changes);
        }
        // What is no JSON is refused by whoever reads it.
        let request: Value = serde_json::from_str(asked.body).unwrap_or_default();
        match asked.operation {
            "CreateTable" => self.begin(asked, &request, changing, Status::Creating),
            "UpdateTable" => self.begin(asked, &request, changing, Status::Updating),
            "DeleteTable" => self.delete(asked, &request, changing),
            "DescribeTable" => {
                let answer = asked.run(&self.changes)?;
                Ok(match status_of(&changing, name_of(&request["TableName"])) {
                    Some(status) => with_status(&answer, "Table", status),
                    None => answer,
                })
            }
            operation if OF_ITEMS.contains(&operation) => {
                let is_away = |table: &str| status_of(&changing, table).is_some_and(|s| s != Status::Updating);
                if tables_of(&request).into_iter().any(is_away) {
                    let told = "Requested resource not found";
                    return Err(Failure::service("ResourceNotFoundException", told));
                }
                drop(changing);
                asked.run(&self.changes)
            }
            _ => {
                drop(changing);
                asked.run(&self.changes)
            }
        }
    }

    /// What is still changing; finishes what is not.
    fn settled(&self, asked: &Asked<'_>) -> Result<MutexGuard<'_, Changing>, Failure> {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // A store that was restarted without limits finishes at once.
        let is_over = |until: Timestamp| until <= asked.now || !self.has_limits;
        let over: Vec<(String, Status)> = changing
            .iter()
            .filter(|(_, (_, until))| is_over(*until))
            .map(|(table, (status, _))| (table.clone(), *status))
            .collect();
        for (table, status) in over {
            if status == Status::Deleting {
                let _turn = self.changes.turn_of_tables(asked.now)?;
                let deleted = asked.tables.delete_table(DeleteTableRequest { table_name: table.clone() });
                match deleted {
                    Ok(_) | Err(dynoxide::DynoxideError::ResourceNotFoundException(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            self.changes.set_changing(&table, None)?;
            changing.remove(&table);
        }
        Ok(changing)
    }

    fn begin(
        &self,
        asked: &Asked<'_>,
        request: &Value,
        mut changing: MutexGuard<'_, Changing>,
        status: Status,
    ) -> Result<String, Failure> {
        let table = name_of(&request["TableName"]);
        if let Some(going_on) = status_of(&changing, table).filter(|_| status == Status::Updating) {
            return Err(going_on.in_use(table));
        }
        let answer = asked.run(&self.changes)?;
        self.note(&mut changing, table, status, asked.now)?;
        Ok(with_status(&answer, "TableDescription", status))
    }

    fn delete(
        &self,
        asked: &Asked<'_>,
        request: &Value,
        mut changing: MutexGuard<'_, Changing>,
    ) -> Result<String, Failure> {
        let table = name_of(&request["TableName"]);
        if let Some(going_on) = status_of(&changing, table) {
            return Err(going_on.in_use(table));
        }
        let look = json!({ "TableName": table }).to_string();
        let described = Asked { operation: "DescribeTable", body: &look, ..*asked }.run(&self.changes);
        let described: Value = described.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let is_protected = described["Table"]["DeletionProtectionEnabled"].as_bool().unwrap_or(false);
        if !described["Table"].is_object() || is_protected {
            // It will be refused; dynoxide words why.
            return asked.run(&self.changes);
        }
        self.note(&mut changing, table, Status::Deleting, asked.now)?;
        let answer = json!({ "TableDescription": described["Table"] }).to_string();
        Ok(with_status(&answer, "TableDescription", Status::Deleting))
    }

    fn note(&self, changing: &mut Changing, table: &str, status: Status, now: Timestamp) -> Result<(), Failure> {
        let until = now.plus(CHANGE_TIME);
        self.changes.set_changing(table, Some((status, until)))?;
        changing.insert(table.to_owned(), (status, until));
        Ok(())
    }
}

fn status_of(changing: &Changing, table: &str) -> Option<Status> {
    changing.get(table).map(|(status, _)| *status)
}

/// The name of the table that a member names, by a name or an ARN.
fn name_of(named: &Value) -> &str {
    table_in(named.as_str().unwrap_or_default())
}

fn table_in(named: &str) -> &str {
    named.split_once(":table/").map_or(named, |(_, rest)| rest.split('/').next().unwrap_or(rest))
}

/// The tables that a request about items names.
fn tables_of(request: &Value) -> Vec<&str> {
    let one = request.get("TableName").map(name_of);
    let batch = request["RequestItems"].as_object().into_iter().flatten();
    let batch = batch.map(|(table, _)| table_in(table));
    let actions = request["TransactItems"].as_array().into_iter().flatten();
    let actions = actions.filter_map(Value::as_object).flat_map(|action| action.values());
    one.into_iter().chain(batch).chain(actions.map(|action| name_of(&action["TableName"]))).collect()
}

/// The answer with the table's status put in, and that of its indexes while they are made with it.
fn with_status(answer: &str, member: &str, status: Status) -> String {
    let Ok(mut answer) = serde_json::from_str::<Value>(answer) else { return answer.to_owned() };
    answer[member]["TableStatus"] = json!(status.name());
    if status == Status::Creating {
        let indexes = answer[member].get_mut("GlobalSecondaryIndexes").and_then(Value::as_array_mut);
        for index in indexes.into_iter().flatten() {
            index["IndexStatus"] = json!(status.name());
        }
    }
    answer.to_string()
}

impl ChangeLog {
    fn changing(&self) -> rusqlite::Result<Changing> {
        let connection = self.lock();
        let mut statement = connection.prepare(r#"SELECT table_name, status, until FROM "lakebed:changing""#)?;
        let rows = statement.query_map([], |row| {
            let (table, status, until): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Status::of_name(&status).map(|status| (table, (status, Timestamp(until)))))
        })?;
        rows.filter_map(Result::transpose).collect()
    }

    fn set_changing(&self, table: &str, status: Option<(Status, Timestamp)>) -> rusqlite::Result<()> {
        let _ours = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        let connection = self.lock();
        match status {
            None => connection.execute(r#"DELETE FROM "lakebed:changing" WHERE table_name = ?1"#, params![table]),
            Some((status, until)) => connection.execute(
                r#"INSERT OR REPLACE INTO "lakebed:changing" (table_name, status, until) VALUES (?1, ?2, ?3)"#,
                params![table, status.name(), until.0],
            ),
        }
        .map(|_rows| ())
    }
}
