//! pgoutput, protocol version 1: what a walsender says between Begin and Commit.
//!
//! Pure: bytes in, borrowed [`Message`] out. Never panics, whatever the bytes; every refusal names its byte offset.
//! A cell keeps the three states apart that the lake must not mix: NULL, unchanged TOAST, text. Binary cells are refused
//! (we never ask for them). Does not know: streamed or two-phase transactions (protocol 2 and later).
//! Source: PostgreSQL documentation, "Logical Replication Message Formats".

mod decode;
#[cfg(test)]
mod tests;

use lakebed_contract::{Lsn, Timestamp};

pub use decode::{PgoutputError, PgoutputFault, decode};

/// Microseconds from 1970 to 2000, Postgres's epoch.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Reads Postgres's microseconds since 2000-01-01.
pub fn timestamp_from_postgres(micros: i64) -> Timestamp {
    Timestamp(micros.saturating_add(POSTGRES_EPOCH_MICROS))
}

/// One column of a tuple.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// A TOASTed value that the update did not touch: the log does not carry it.
    Unchanged,
    /// The type's text form.
    Text(&'a str),
}

impl std::fmt::Debug for Cell<'_> {
    /// Shows the state and the length, never the value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Unchanged => f.write_str("Unchanged"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

/// The cells of a row, in relation order.
pub type Tuple<'a> = Vec<Cell<'a>>;

/// The old row of an update or delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// `K`: only the replica identity's columns are set, the others are NULL.
    Key(Tuple<'a>),
    /// `O`: the whole row (REPLICA IDENTITY FULL).
    Full(Tuple<'a>),
}

impl<'a> OldTuple<'a> {
    /// The cells, of either kind.
    pub fn cells(&self) -> &[Cell<'a>] {
        match self {
            Self::Key(cells) | Self::Full(cells) => cells,
        }
    }
}

/// A column in a relation message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Whether the column belongs to the replica identity.
    pub is_identity: bool,
    /// Name.
    pub name: &'a str,
    /// Type OID.
    pub type_oid: u32,
    /// Type modifier, -1 for none.
    pub type_modifier: i32,
}

/// A message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `B`: a committed transaction begins.
    Begin {
        /// LSN of its commit record.
        final_lsn: Lsn,
        /// Commit time.
        commit_time: Timestamp,
        /// 32-bit transaction id.
        xid: u32,
    },
    /// `C`: it ends.
    Commit {
        /// LSN of the commit record, equal to `final_lsn`.
        commit_lsn: Lsn,
        /// LSN after the commit record: what may be acknowledged.
        end_lsn: Lsn,
        /// Commit time.
        commit_time: Timestamp,
    },
    /// `O`: the transaction came from another node.
    Origin {
        /// Commit LSN there.
        lsn: Lsn,
        /// Its name.
        name: &'a str,
    },
    /// `R`: the shape of a table, before its first row and after each change of shape.
    Relation {
        /// OID.
        id: u32,
        /// Schema; empty for `pg_catalog`.
        schema: &'a str,
        /// Table.
        name: &'a str,
        /// `d`, `n`, `f` or `i`, as in `pg_class.relreplident`.
        replica_identity: u8,
        /// Columns in order.
        columns: Vec<RelationColumn<'a>>,
    },
    /// `Y`: the name of a non-built-in type.
    Type {
        /// OID.
        id: u32,
        /// Schema.
        schema: &'a str,
        /// Name.
        name: &'a str,
    },
    /// `I`: an inserted row.
    Insert {
        /// Relation OID.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// `U`: an updated row.
    Update {
        /// Relation OID.
        relation: u32,
        /// Sent when the key changed, or with REPLICA IDENTITY FULL.
        old: Option<OldTuple<'a>>,
        /// The row.
        new: Tuple<'a>,
    },
    /// `D`: a deleted row.
    Delete {
        /// Relation OID.
        relation: u32,
        /// Its key, or all of it.
        old: OldTuple<'a>,
    },
    /// `T`: emptied tables.
    Truncate {
        /// Relation OIDs.
        relations: Vec<u32>,
        /// 1 = CASCADE, 2 = RESTART IDENTITY.
        options: u8,
    },
    /// `M`: `pg_logical_emit_message`.
    Logical {
        /// Whether it belongs to the transaction around it.
        transactional: bool,
        /// Its LSN.
        lsn: Lsn,
        /// Prefix.
        prefix: &'a str,
        /// Content, any bytes.
        content: &'a [u8],
    },
}
