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

use crate::row::SourceRow;

/// Schema of the beer tables.
pub(crate) const SCHEMA: &str = "dm_core";

/// The beer tables.
pub(crate) const TABLES: [&str; 4] =
    [rows::Brewery::TABLE, rows::Beer::TABLE, rows::Profile::TABLE, rows::Review::TABLE];

/// Whether the beer generator can fill the beer tables of `lake`: all four must be there with the columns, types and keys they ship
/// with. Else, why not. Other tables of the lake do not matter here.
pub(crate) fn fits(lake: &Lake) -> Result<(), String> {
    let shipped = Lake::beer();
    for name in TABLES {
        let known = shipped.table(name).expect("the beer lake has its tables");
        let table = lake.table(name).ok_or_else(|| format!("there is no table `{name}`"))?;
        if table.schema != SCHEMA {
            return Err(format!("table `{name}` lies in schema `{}` instead of `{SCHEMA}`", table.schema));
        }
        for column in &table.columns {
            let same = known.column(&column.name).is_some_and(|known| {
                let not_null = known.nullable && !column.nullable;
                known.column_type == column.column_type && known.is_key == column.is_key && !not_null
            });
            if !same {
                return Err(format!("column `{name}.{}` is not one the beer generator knows", column.name));
            }
        }
        if let Some(missing) = known.columns.iter().find(|known| table.column(&known.name).is_none()) {
            return Err(format!("table `{name}` lacks column `{}`", missing.name));
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
    fn only_the_beer_tables_as_they_ship_are_filled() {
        let why = |file: &str, from: &str, to: &str| {
            let mut files: std::collections::BTreeMap<String, String> =
                BEER_FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
            let text = files.get_mut(file).unwrap();
            assert!(text.contains(from));
            *text = text.replace(from, to);
            fits(&Lake::from_files(&files).unwrap())
        };
        assert_eq!(fits(&Lake::beer()), Ok(()));
        assert_eq!(why("contracts/profile.yaml", "version: 1.0.0", "version: 1.1.0"), Ok(()));
        let city = why("contracts/brewery.yaml", "name: city", "name: town");
        assert!(city.expect_err("an unknown column").contains("brewery.town"));
        let strength = why("contracts/beer.yaml", "numeric(4,1)", "numeric(5,2)");
        assert!(strength.expect_err("another type").contains("beer.beer_abv"));
        let shop = why("contracts/beer.yaml", "dm_core.beer", "shop.beer");
        assert!(shop.expect_err("another schema").contains("`shop`"));
    }
}
