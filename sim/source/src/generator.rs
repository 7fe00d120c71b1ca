//! Who draws the rows of which table.
//!
//! The four beer tables, as they ship, have a generator that knows what beer data looks like. Every other table is drawn from its
//! contract; so are the beer tables of a lake that changed them, and it is said why. Same seed, scale and lake: same rows.

use lakebed_contract::{EventSink, Lake, Seed, TableContract};

use crate::beer;
use crate::beer::world::{ChunkSink, World, checked_scale};
use crate::contract_rows::{Plans, scaled_rows};
use crate::error::SourceError;
use crate::truth::SourceTruth;

/// Draws the initial rows of a lake.
pub(crate) struct Generator {
    beer: Option<World>,
    plans: Plans,
    seed: Seed,
}

impl Generator {
    /// Plans the rows of `lake`; refuses what cannot be generated.
    pub(crate) fn new(lake: &Lake, seed: Seed, scale: f64, events: &EventSink) -> Result<Self, SourceError> {
        let scale = checked_scale(scale)?;
        let beer = has_beer(lake, events).then(|| World::new(seed, scale)).transpose()?;
        let plans = Plans::new(lake, beer_tables(beer.is_some()), |table| {
            let known = beer.as_ref().and_then(|world| world.rows_of(&table.name));
            known.unwrap_or_else(|| scaled_rows(table, scale))
        })?;
        Ok(Self { beer, plans, seed })
    }

    /// Writes all rows of `table` with a header and records their keys and planted values.
    pub(crate) fn write_table(
        &self,
        table: &str,
        truth: &mut SourceTruth,
        sink: &mut ChunkSink<'_>,
    ) -> Result<(), SourceError> {
        match (self.plans.table(table), &self.beer) {
            (Some(plan), _) => plan.write(self.seed, truth, sink),
            (None, Some(world)) => world.write_table(table, true, truth, sink),
            (None, None) => unreachable!("every table of the lake has a plan where there is no beer generator"),
        }
    }

    /// Columns of `table` in the order in which its rows are written.
    pub(crate) fn columns<'t>(&self, table: &'t TableContract) -> Vec<&'t str> {
        if self.plans.table(&table.name).is_some() {
            return table.columns.iter().map(|column| column.name.as_str()).collect();
        }
        beer::columns_of(&table.name).to_vec()
    }
}

/// Whether rows can be generated for every table of `lake`; the error names what stands in the way.
pub fn check_lake(lake: &Lake, scale: f64) -> Result<(), SourceError> {
    let scale = checked_scale(scale)?;
    let tables = beer_tables(has_beer(lake, &EventSink::default()));
    Plans::new(lake, tables, |table| scaled_rows(table, scale)).map(drop)
}

/// Whether the beer generator works on `lake`; where it only almost would, that is said.
pub(crate) fn has_beer(lake: &Lake, events: &EventSink) -> bool {
    match beer::fits(lake) {
        Ok(()) => true,
        Err(why) => {
            if beer::TABLES.iter().any(|name| lake.table(name).is_some()) {
                events.log(format!("beer tables are generated from their contracts, because {why}"));
            }
            false
        }
    }
}

/// The tables that contracts need not describe to the generator.
pub(crate) fn beer_tables(has_beer: bool) -> &'static [&'static str] {
    if has_beer { &beer::TABLES } else { &[] }
}
