//! The Postgres side of every comparison: one read-only snapshot, streamed by binary COPY.
//!
//! All queries of one judgement see the same snapshot (`REPEATABLE READ`, exported to the second connection). Values are decoded
//! from the wire into [`Cell`]s here; `numeric` travels as text so that no digit is lost. Knows nothing of masks and Iceberg.

use std::error::Error;
use std::pin::pin;

use futures::TryStreamExt;
use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::table::ColumnType;
use tokio::task::JoinHandle;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, NoTls};

use super::cell::Cell;
use super::error::JudgeError;

/// Days from 1970-01-01 to 2000-01-01, where Postgres starts to count.
const POSTGRES_EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const POSTGRES_EPOCH_MICROS: i64 = POSTGRES_EPOCH_DAYS as i64 * 86_400_000_000;

/// The source database, frozen at one moment.
pub(super) struct Source {
    client: Client,
    connection: JoinHandle<Result<(), tokio_postgres::Error>>,
}

/// A column of a query: name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceColumn {
    pub(super) name: String,
    pub(super) column_type: ColumnType,
}

impl Source {
    pub(super) async fn open(endpoint: &PostgresEndpoint) -> Result<Self, JudgeError> {
        Self::begin(endpoint, String::new()).await
    }

    /// A second connection that sees the same snapshot, so that two parts of the judge can ask at the same time.
    pub(super) async fn beside(&self, endpoint: &PostgresEndpoint) -> Result<Self, JudgeError> {
        let exported = self.client.query_one("SELECT pg_export_snapshot()", &[]).await;
        let snapshot: String = exported.and_then(|row| row.try_get(0)).map_err(JudgeError::source("snapshot"))?;
        Self::begin(endpoint, format!("; SET TRANSACTION SNAPSHOT '{snapshot}'")).await
    }

    async fn begin(endpoint: &PostgresEndpoint, snapshot: String) -> Result<Self, JudgeError> {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&endpoint.host)
            .port(endpoint.port)
            .user(&endpoint.user)
            .dbname(&endpoint.database)
            .application_name("lakebed judge");
        if !endpoint.password.expose().is_empty() {
            config.password(endpoint.password.expose());
        }
        let (client, connection) = config.connect(NoTls).await.map_err(JudgeError::source("connection"))?;
        let connection = tokio::spawn(connection);
        client
            .batch_execute(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{snapshot}"))
            .await
            .map_err(JudgeError::source("snapshot"))?;
        Ok(Self { client, connection })
    }

    /// Ends the snapshot and the connection.
    pub(super) async fn close(self) -> Result<(), JudgeError> {
        self.client.batch_execute("COMMIT").await.map_err(JudgeError::source("snapshot"))?;
        drop(self.client);
        self.connection.await?.map_err(JudgeError::source("connection"))
    }

    /// The columns a query answers with.
    pub(super) async fn describe(
        &self,
        what: &str,
        sql: &str,
    ) -> Result<Result<Vec<SourceColumn>, String>, JudgeError> {
        let statement = self.client.prepare(sql).await.map_err(JudgeError::source(what))?;
        Ok(statement
            .columns()
            .iter()
            .map(|column| {
                let column_type = contract_type(column.type_(), column.type_modifier())
                    .ok_or_else(|| {
                        format!(
                            "column `{}` has type {}; cast it to boolean, integer, bigint, double precision, numeric(p, s), \
                             text, date or timestamptz",
                            column.name(),
                            column.type_()
                        )
                    })?;
                Ok(SourceColumn { name: column.name().to_owned(), column_type })
            })
            .collect())
    }

    /// Streams `columns` of `relation` (a table name or a parenthesised query with an alias) row by row.
    pub(super) async fn rows(
        &self,
        what: &str,
        relation: &str,
        columns: &[SourceColumn],
        mut each: impl FnMut(&SourceRow<'_>),
    ) -> Result<(), JudgeError> {
        let selected: Vec<_> = columns
            .iter()
            .map(|column| format!("\"{}\"::{}", column.name, wire_type(column.column_type).name()))
            .collect();
        let sql = format!("COPY (SELECT {} FROM {relation}) TO STDOUT (FORMAT binary)", selected.join(", "));
        let types: Vec<_> = columns.iter().map(|column| wire_type(column.column_type)).collect();
        let stream = self.client.copy_out(&sql).await.map_err(JudgeError::source(what))?;
        let mut stream = pin!(BinaryCopyOutStream::new(stream, &types));
        while let Some(row) = stream.try_next().await.map_err(JudgeError::source(what))? {
            let cells = columns
                .iter()
                .enumerate()
                .map(|(at, column)| cell(&row, at, column.column_type))
                .collect::<Result<Vec<_>, _>>()
                .map_err(JudgeError::source(what))?;
            each(&SourceRow { cells });
        }
        Ok(())
    }
}

/// One row, in the order of the columns asked for.
pub(super) struct SourceRow<'a> {
    pub(super) cells: Vec<Cell<'a>>,
}

/// Bytes of a value as they came, whatever their type.
struct Wire<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Wire<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The type a column travels as.
fn wire_type(column_type: ColumnType) -> Type {
    match column_type {
        ColumnType::Boolean => Type::BOOL,
        ColumnType::Integer => Type::INT4,
        ColumnType::Bigint => Type::INT8,
        ColumnType::Double => Type::FLOAT8,
        ColumnType::Decimal { .. } | ColumnType::Text => Type::TEXT,
        ColumnType::Date => Type::DATE,
        ColumnType::Timestamptz => Type::TIMESTAMPTZ,
    }
}

fn contract_type(found: &Type, modifier: i32) -> Option<ColumnType> {
    Some(match *found {
        Type::BOOL => ColumnType::Boolean,
        Type::INT4 => ColumnType::Integer,
        Type::INT8 => ColumnType::Bigint,
        Type::FLOAT8 => ColumnType::Double,
        Type::TEXT | Type::VARCHAR => ColumnType::Text,
        Type::DATE => ColumnType::Date,
        Type::TIMESTAMPTZ => ColumnType::Timestamptz,
        // The modifier of numeric(p,s) is p * 65536 + s + 4; -1 stands for a bare `numeric`.
        Type::NUMERIC if modifier >= 4 => ColumnType::Decimal {
            precision: u8::try_from((modifier - 4) >> 16).ok()?,
            scale: u8::try_from((modifier - 4) & 0xffff).ok()?,
        },
        _ => return None,
    })
}

fn cell(row: &BinaryCopyOutRow, at: usize, column_type: ColumnType) -> Result<Cell<'_>, tokio_postgres::Error> {
    Ok(match column_type {
        ColumnType::Boolean => row.try_get::<Option<bool>>(at)?.map_or(Cell::Null, Cell::Bool),
        ColumnType::Integer => row.try_get::<Option<i32>>(at)?.map_or(Cell::Null, |value| Cell::Int(value.into())),
        ColumnType::Bigint => row.try_get::<Option<i64>>(at)?.map_or(Cell::Null, Cell::Int),
        ColumnType::Double => row.try_get::<Option<f64>>(at)?.map_or(Cell::Null, Cell::Double),
        ColumnType::Text => row.try_get::<Option<&str>>(at)?.map_or(Cell::Null, Cell::Text),
        ColumnType::Decimal { .. } => row.try_get::<Option<&str>>(at)?.map_or(Cell::Null, decimal),
        ColumnType::Date => row
            .try_get::<Option<Wire<'_>>>(at)?
            .and_then(|Wire(raw)| Some(i32::from_be_bytes(raw.try_into().ok()?)))
            .map_or(Cell::Null, |days| Cell::Date(days.saturating_add(POSTGRES_EPOCH_DAYS))),
        ColumnType::Timestamptz => row
            .try_get::<Option<Wire<'_>>>(at)?
            .and_then(|Wire(raw)| Some(i64::from_be_bytes(raw.try_into().ok()?)))
            .map_or(Cell::Null, |micros| Cell::Instant(micros.saturating_add(POSTGRES_EPOCH_MICROS))),
    })
}

/// Reads what `numeric_out` printed.
fn decimal(text: &str) -> Cell<'_> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (mut unscaled, mut scale, mut after_point) = (0_i128, 0_u8, false);
    for byte in digits.bytes() {
        match byte {
            b'.' if !after_point => after_point = true,
            b'0'..=b'9' => {
                let Some(next) = unscaled.checked_mul(10).and_then(|next| next.checked_add((byte - b'0').into()))
                else {
                    return Cell::Foreign(text);
                };
                unscaled = next;
                scale = scale.saturating_add(after_point.into());
            }
            _ => return Cell::Foreign(text),
        }
    }
    Cell::Decimal { unscaled: if digits.len() < text.len() { -unscaled } else { unscaled }, scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_text_becomes_an_exact_decimal() {
        assert_eq!(decimal("4.50"), Cell::Decimal { unscaled: 450, scale: 2 });
        assert_eq!(decimal("-0.5"), Cell::Decimal { unscaled: -5, scale: 1 });
        assert_eq!(decimal("12"), Cell::Decimal { unscaled: 12, scale: 0 });
        assert_eq!(decimal("NaN"), Cell::Foreign("NaN"));
        let widest = "9".repeat(38);
        assert_eq!(decimal(&widest), Cell::Decimal { unscaled: 10_i128.pow(38) - 1, scale: 0 });
    }

    #[test]
    fn numeric_modifiers_give_precision_and_scale() {
        let modifier = 5 * 65_536 + 4 + 4;
        assert_eq!(contract_type(&Type::NUMERIC, modifier), Some(ColumnType::Decimal { precision: 5, scale: 4 }));
        assert_eq!(contract_type(&Type::NUMERIC, -1), None);
    }

    #[test]
    fn the_postgres_epoch_is_2000() {
        let epoch = chrono::NaiveDate::from_ymd_opt(2000, 1, 1).expect("a date");
        let unix = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date");
        assert_eq!(epoch.signed_duration_since(unix).num_days(), i64::from(POSTGRES_EPOCH_DAYS));
    }
}
