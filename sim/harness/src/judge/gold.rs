//! I6: every model equals what independent SQL computes from the source in Postgres.
//!
//! That SQL comes with the lake (`judge/<model>.sql`), written from what the table means, not from the pipeline's model, and runs on
//! the source tables, not on silver. Whole rows are compared, by the model's key. A model without such a file is named as
//! unchecked. Knows no lake by name.

use iceberg::table::Table;
use lakebed_contract::lake::{Lake, LakeError, Model};
use lakebed_contract::layout;
use lakebed_contract::table::ColumnType;

use super::cell::Cell;
use super::error::{self, JudgeError};
use super::finding::Evidence;
use super::lakehouse::{Lakehouse, Typed, scan, typed};
use super::rows::{Comparison, ExpectedRows};
use super::source::{Source, SourceColumn};

/// Compares every silver and gold model of the lake.
pub(super) async fn judge(lake: &Lake, source: &Source, lakehouse: &Lakehouse) -> Result<Evidence, JudgeError> {
    let mut evidence = Evidence::default();
    if lake.silver.is_empty() && lake.gold.is_empty() {
        evidence.holds("the lake has no models");
    }
    let silver = lake.silver.iter().map(|model| (layout::SILVER, model));
    let gold = lake.gold.iter().map(|model| (layout::GOLD, model));
    for (namespace, model) in silver.chain(gold) {
        let (what, file) = (format!("{namespace}.{}", model.name), file_of(model));
        let Some(sql) = lake.judge_sql.get(&model.name) else {
            evidence.cannot_check(format!("{what}: the lake has no {file} to compare it with"));
            continue;
        };
        let sql = statement(sql);
        let (columns, key) = match shape(source, model, sql).await? {
            Ok(shape) => shape,
            Err(reason) => {
                evidence.cannot_check(format!("{what}: {file} {reason}"));
                continue;
            }
        };
        let Some(table) = lakehouse.table(namespace, &model.name).await? else {
            evidence.fails(format!("{what} does not exist"));
            continue;
        };
        let compared = compare(source, &what, sql, &table, &columns, &key).await;
        match compared.map_err(|error| error.in_sql(&file))? {
            Ok(comparison) if comparison.is_equal() => evidence.holds(format!("{what}: {comparison}")),
            Ok(comparison) => evidence.fails(format!("{what}: {comparison}")),
            Err(reason) => evidence.fails(format!("{what} {reason}")),
        }
    }
    Ok(evidence)
}

/// What is wrong with the judge's SQL of `lake`, before there is anything to judge: the first file that Postgres does not accept
/// or that cannot be compared by. The source tables must be there.
pub(super) async fn complaint(lake: &Lake, source: &Source) -> Result<Option<LakeError>, JudgeError> {
    for model in lake.silver.iter().chain(&lake.gold) {
        let Some(sql) = lake.judge_sql.get(&model.name) else { continue };
        let file = file_of(model);
        let reason = match shape(source, model, statement(sql)).await.map_err(|error| error.in_sql(&file)) {
            Ok(Ok(_)) => continue,
            Ok(Err(reason)) => reason,
            // Postgres does not go on in this transaction, so the first complaint is the last.
            Err(JudgeError::Sql { refused, .. }) => format!("is refused by Postgres: {}", error::words(&refused)),
            Err(other) => return Err(other),
        };
        return Ok(Some(LakeError::JudgeSql { file, reason }));
    }
    Ok(None)
}

/// Models of `lake` that no SQL of the judge describes.
pub(super) fn unproven(lake: &Lake) -> Vec<String> {
    let models = lake.silver.iter().chain(&lake.gold);
    models.filter(|model| !lake.judge_sql.contains_key(&model.name)).map(file_of).collect()
}

/// Where the judge's SQL of a model lies in the lake folder.
fn file_of(model: &Model) -> String {
    format!("judge/{}.sql", model.name)
}

/// The text without a closing semicolon.
fn statement(sql: &str) -> &str {
    sql.trim().trim_end_matches(';')
}

/// The columns the judge's SQL answers with, and where the model's key stands among them; or why it cannot be compared by.
async fn shape(
    source: &Source,
    model: &Model,
    sql: &str,
) -> Result<Result<(Vec<SourceColumn>, Vec<usize>), String>, JudgeError> {
    let columns = match source.describe(&model.name, sql).await? {
        Ok(columns) => columns,
        Err(reason) => return Ok(Err(format!("cannot be compared: {reason}"))),
    };
    Ok(match key_positions(model, &columns) {
        Some(key) => Ok((columns, key)),
        None => Err(format!("lacks a column of the model's key ({})", model.key.join(", "))),
    })
}

fn key_positions(model: &Model, columns: &[SourceColumn]) -> Option<Vec<usize>> {
    model.key.iter().map(|key| columns.iter().position(|column| column.name == *key)).collect()
}

async fn compare(
    source: &Source,
    what: &str,
    sql: &str,
    table: &Table,
    columns: &[SourceColumn],
    key: &[usize],
) -> Result<Result<Comparison, String>, JudgeError> {
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let schema = table.metadata().current_schema();
    let surplus: Vec<_> = schema
        .as_struct()
        .fields()
        .iter()
        .map(|field| field.name.as_str())
        .filter(|name| !names.iter().any(|n| n == name))
        .collect();
    if !surplus.is_empty() {
        return Ok(Err(format!("has surplus columns {}", surplus.join(", "))));
    }
    let mut expected = ExpectedRows::new(names.clone());
    let mut ambiguous = 0_u64;
    source
        .rows(what, &format!("({sql}\n) AS expected"), columns, |row| {
            let fingerprints: Vec<u64> = row.cells.iter().map(Cell::fingerprint).collect();
            let key = key_text(columns, key, |at| row.cells[at]);
            ambiguous += u64::from(!expected.expect(key, &fingerprints));
        })
        .await?;
    if ambiguous > 0 {
        return Ok(Err(format!("has a key that {ambiguous} rows of the source share")));
    }
    let scanned = scan(table, &names, |batch| {
        let arrays: Vec<Typed> = typed(batch, columns)?;
        let mut fingerprints = Vec::with_capacity(arrays.len());
        for row in 0..batch.num_rows() {
            fingerprints.clear();
            fingerprints.extend(arrays.iter().map(|array| array.cell(row).fingerprint()));
            expected.compare(key_text(columns, key, |at| arrays[at].cell(row)), &fingerprints);
        }
        Ok(())
    })
    .await?;
    Ok(scanned.map(|()| expected.finish()))
}

/// The key of a row as findings may show it: integers as they are, anything else as a fingerprint.
pub(super) fn key_text<'c>(columns: &[SourceColumn], key: &[usize], cell: impl Fn(usize) -> Cell<'c>) -> String {
    let parts = key.iter().map(|at| match (cell(*at), columns[*at].column_type) {
        (Cell::Int(value), ColumnType::Integer | ColumnType::Bigint) => value.to_string(),
        (Cell::Null, _) => "NULL".to_owned(),
        (other, _) => format!("#{:016x}", other.fingerprint()),
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_show_integers_and_hide_texts() {
        let column = |name: &str, column_type| SourceColumn { name: name.to_owned(), column_type };
        let columns = [column("state", ColumnType::Text), column("review_year", ColumnType::Integer)];
        let text = key_text(&columns, &[0, 1], |at| [Cell::Text("Pernambuco"), Cell::Int(2009)][at]);
        assert!(text.starts_with('#') && text.ends_with("/2009") && !text.contains("Pernambuco"), "{text}");
        assert_eq!(key_text(&columns, &[0, 1], |at| [Cell::Null, Cell::Int(2009)][at]), "NULL/2009");
    }
}
