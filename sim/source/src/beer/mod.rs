//! Beer data: words, names, personal data, comments, rows, and the world that holds them together.
//!
//! Pure: a seed and a scale in, rows and the truth about them out. Knows nothing of Postgres or files.

pub(crate) mod words;

pub(crate) mod names;
pub(crate) mod pii;

pub(crate) mod comment;

pub(crate) mod history;
pub(crate) mod popularity;
pub(crate) mod rows;

pub(crate) mod world;

use lakebed_contract::Lake;

use crate::error::SourceError;
use crate::row::SourceRow;

/// Schema of the beer tables.
pub(crate) const SCHEMA: &str = "dm_core";

/// Refuses a lake whose tables are not the beer tables: an edited copy may change anything but what is generated.
pub(crate) fn check_lake(lake: &Lake) -> Result<(), SourceError> {
    let refuse = |reason: String| Err(SourceError::Lake { lake: lake.name.clone(), reason });
    for table in &lake.tables {
        let columns = columns_of(&table.name);
        if columns.is_empty() || table.schema != SCHEMA {
            return refuse(format!("there is no generator for table `{}.{}`", table.schema, table.name));
        }
        for column in &table.columns {
            if !columns.contains(&column.name.as_str()) {
                return refuse(format!("there is no generator for column `{}.{}`", table.name, column.name));
            }
        }
        if let Some(missing) = columns.iter().find(|name| table.column(name).is_none()) {
            return refuse(format!("table `{}` lacks column `{missing}`", table.name));
        }
    }
    Ok(())
}

/// Columns of a beer table in the order in which rows are generated; none for any other table.
pub(crate) fn columns_of(table: &str) -> &'static [&'static str] {
    match table {
        rows::Brewery::TABLE => rows::Brewery::COLUMNS,
        rows::Beer::TABLE => rows::Beer::COLUMNS,
        rows::Profile::TABLE => rows::Profile::COLUMNS,
        rows::Review::TABLE => rows::Review::COLUMNS,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use lakebed_contract::lake::BEER_FILES;

    use super::*;

    #[test]
    fn only_a_lake_of_beer_tables_is_accepted() {
        assert!(check_lake(&Lake::beer()).is_ok());
        let mut files: std::collections::BTreeMap<String, String> =
            BEER_FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let brewery = files.get_mut("contracts/brewery.yaml").unwrap();
        *brewery = brewery.replace("name: city", "name: town");
        let lake = Lake::from_files(&files).unwrap();
        assert!(check_lake(&lake).expect_err("an unknown column").to_string().contains("brewery.town"));
    }
}
