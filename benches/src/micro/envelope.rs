//! DMS envelopes: one JSON line per changed row.

use std::hint::black_box;

use lakebed_contract::{Lsn, Timestamp};
use lakebed_flow::dms::{ColumnShape, DmsSettings, EnvelopeBuilder, TableShape, TransactionPlace};

use super::pgoutput::cells;
use super::{Micro, Work};
use crate::data::{Beer, Row};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
/// Rows of one transaction.
const TRANSACTION_ROWS: u64 = 100;

/// Type OIDs of `pg_type`, and the modifier of numeric(2,1).
const INT8: u32 = 20;
const TEXT: u32 = 25;
const TIMESTAMPTZ: u32 = 1184;
const NUMERIC: u32 = 1700;
const NUMERIC_2_1: i32 = ((2 << 16) | 1) + 4;

/// Builds and serialises one insert per review; the answer is the bytes of all lines, which were parsed and checked once.
pub(super) fn build(beer: &Beer) -> Micro {
    let rows = beer.reviews.clone();
    let lines = insert_lines(&rows);
    for (line, row) in lines.iter().zip(&rows) {
        let parsed: serde_json::Value = serde_json::from_slice(line).expect("a JSON line");
        assert_eq!(Some(parsed["data"]["review_id"].to_string()), row[0], "the line is the row's");
        assert_eq!(parsed["data"]["comment"].as_str(), row[10].as_deref(), "its text survived");
    }
    Micro {
        name: "dms/envelope",
        question: "How fast does a decoded row become a DMS record?",
        work: Work::Elements(rows.len() as u64),
        expect: lines.iter().map(|line| line.len() as u64).sum(),
        run: Box::new(move || {
            let (mut builder, table) = (builder(), review_shape());
            let mut bytes = 0;
            for (at, row) in rows.iter().enumerate() {
                bytes += insert_line(&mut builder, &table, black_box(row), at as u64).len() as u64;
            }
            bytes
        }),
    }
}

/// The records of inserted reviews, one JSON line each.
pub(super) fn insert_lines(rows: &[Row]) -> Vec<Vec<u8>> {
    let (mut builder, table) = (builder(), review_shape());
    rows.iter().enumerate().map(|(at, row)| insert_line(&mut builder, &table, row, at as u64)).collect()
}

fn builder() -> EnvelopeBuilder {
    EnvelopeBuilder::new(DmsSettings::lakebed_recommended(), "bench", 1)
}

fn insert_line(builder: &mut EnvelopeBuilder, table: &TableShape, row: &Row, at: u64) -> Vec<u8> {
    let transaction = at / TRANSACTION_ROWS;
    let place = TransactionPlace {
        xid: u32::try_from(transaction).expect("few transactions"),
        commit_lsn: Lsn(0x1_0000_0000 + transaction * 0x1000),
        commit_time: NOW,
        ordinal: at % TRANSACTION_ROWS + 1,
        row_lsn: Lsn(0x1_0000_0000 + at * 0x10),
    };
    let envelope = builder.insert(table, &cells(row), &place, NOW).expect("a row of the table's width");
    builder.record(table, &envelope).data.to_vec()
}

fn review_shape() -> TableShape {
    let column = |name: &str, type_oid: u32, type_modifier: i32, is_key: bool| ColumnShape {
        name: name.to_owned(),
        type_oid,
        type_modifier,
        nullable: name == "comment",
        is_key,
    };
    let score = |name: &str| column(name, NUMERIC, NUMERIC_2_1, false);
    TableShape {
        schema: "dm_core".to_owned(),
        name: "review".to_owned(),
        columns: vec![
            column("review_id", INT8, -1, true),
            column("brewery_id", INT8, -1, false),
            column("beer_id", INT8, -1, false),
            column("profile_id", INT8, -1, false),
            score("review_overall"),
            score("review_aroma"),
            score("review_appearance"),
            score("review_palate"),
            score("review_taste"),
            column("review_time", TIMESTAMPTZ, -1, false),
            column("comment", TEXT, -1, false),
        ],
    }
}
