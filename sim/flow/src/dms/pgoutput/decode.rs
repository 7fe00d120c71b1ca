//! The reader behind [`super::decode`]: a cursor over one message, and one function per message kind.
//!
//! Promises: reads each byte once, refuses trailing bytes, allocates no more than the message is long.

use lakebed_contract::Lsn;

use super::{Cell, Message, OldTuple, RelationColumn, Tuple, timestamp_from_postgres};

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PgoutputFault {
    /// The message ends too early.
    #[error("{needed} more bytes needed")]
    Truncated {
        /// How many are missing, at least.
        needed: usize,
    },
    /// No such message in protocol 1.
    #[error("unknown message `{0:#04x}`")]
    UnknownMessage(u8),
    /// A tuple is announced by another byte than the protocol allows here.
    #[error("unexpected tuple marker `{0:#04x}`")]
    UnexpectedTuple(u8),
    /// A cell is neither `n`, `u` nor `t`.
    #[error("unknown cell `{0:#04x}`")]
    UnknownCell(u8),
    /// A `b` cell: binary format was never asked for.
    #[error("binary cell in a text stream")]
    BinaryCell,
    /// A length or count below zero.
    #[error("negative length")]
    NegativeLength,
    /// A string without its closing NUL.
    #[error("unterminated string")]
    UnterminatedString,
    /// A text that is not UTF-8, though the session's encoding is.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// Bytes after the end of the message.
    #[error("{0} bytes after the end of the message")]
    TrailingBytes(usize),
}

/// A refused message: what is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to decode a pgoutput message at byte {offset}: {fault}")]
pub struct PgoutputError {
    /// Offset in the message.
    pub offset: usize,
    /// What is wrong there.
    pub fault: PgoutputFault,
}

/// Reads one message.
///
/// # Errors
/// Anything but exactly one message of protocol version 1.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, PgoutputError> {
    let mut reader = Reader { bytes, at: 0 };
    let message = match reader.u8()? {
        b'B' => Message::Begin {
            final_lsn: reader.lsn()?,
            commit_time: timestamp_from_postgres(reader.i64()?),
            xid: reader.u32()?,
        },
        b'C' => {
            let _flags = reader.u8()?;
            Message::Commit {
                commit_lsn: reader.lsn()?,
                end_lsn: reader.lsn()?,
                commit_time: timestamp_from_postgres(reader.i64()?),
            }
        }
        b'O' => Message::Origin { lsn: reader.lsn()?, name: reader.string()? },
        b'R' => reader.relation()?,
        b'Y' => Message::Type { id: reader.u32()?, schema: reader.string()?, name: reader.string()? },
        b'I' => {
            let relation = reader.u32()?;
            reader.expect_new()?;
            Message::Insert { relation, new: reader.tuple()? }
        }
        b'U' => reader.update()?,
        b'D' => {
            let relation = reader.u32()?;
            let old = reader.old_tuple()?.ok_or_else(|| reader.unexpected_tuple())?;
            Message::Delete { relation, old }
        }
        b'T' => reader.truncate()?,
        b'M' => {
            let transactional = reader.u8()? & 1 != 0;
            let lsn = reader.lsn()?;
            let prefix = reader.string()?;
            let length = reader.length()?;
            Message::Logical { transactional, lsn, prefix, content: reader.take(length)? }
        }
        unknown => return Err(PgoutputError { offset: 0, fault: PgoutputFault::UnknownMessage(unknown) }),
    };
    match reader.remaining() {
        0 => Ok(message),
        extra => Err(reader.fault(PgoutputFault::TrailingBytes(extra))),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn fault(&self, fault: PgoutputFault) -> PgoutputError {
        PgoutputError { offset: self.at, fault }
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PgoutputError> {
        let available = self.remaining();
        if count > available {
            return Err(self.fault(PgoutputFault::Truncated { needed: count - available }));
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PgoutputError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, PgoutputError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, PgoutputError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, PgoutputError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, PgoutputError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn lsn(&mut self) -> Result<Lsn, PgoutputError> {
        Ok(Lsn(u64::from_be_bytes(self.array()?)))
    }

    fn length(&mut self) -> Result<usize, PgoutputError> {
        let start = self.at;
        usize::try_from(self.i32()?).map_err(|_| PgoutputError { offset: start, fault: PgoutputFault::NegativeLength })
    }

    fn count(&mut self) -> Result<usize, PgoutputError> {
        let start = self.at;
        usize::try_from(i16::from_be_bytes(self.array()?))
            .map_err(|_| PgoutputError { offset: start, fault: PgoutputFault::NegativeLength })
    }

    fn text(&self, start: usize, bytes: &'a [u8]) -> Result<&'a str, PgoutputError> {
        std::str::from_utf8(bytes)
            .map_err(|wrong| PgoutputError { offset: start + wrong.valid_up_to(), fault: PgoutputFault::NotUtf8 })
    }

    fn string(&mut self) -> Result<&'a str, PgoutputError> {
        let start = self.at;
        let rest = &self.bytes[start..];
        let end =
            rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.fault(PgoutputFault::UnterminatedString))?;
        self.at += end + 1;
        self.text(start, &rest[..end])
    }

    /// Column and relation counts come from the wire: reserve no more than the bytes left could hold.
    fn capacity(&self, count: usize, bytes_each: usize) -> usize {
        count.min(self.remaining() / bytes_each)
    }

    fn tuple(&mut self) -> Result<Tuple<'a>, PgoutputError> {
        let count = self.count()?;
        let mut cells = Vec::with_capacity(self.capacity(count, 1));
        for _ in 0..count {
            let start = self.at;
            cells.push(match self.u8()? {
                b'n' => Cell::Null,
                b'u' => Cell::Unchanged,
                b't' => {
                    let length = self.length()?;
                    let start = self.at;
                    let bytes = self.take(length)?;
                    Cell::Text(self.text(start, bytes)?)
                }
                b'b' => return Err(PgoutputError { offset: start, fault: PgoutputFault::BinaryCell }),
                other => return Err(PgoutputError { offset: start, fault: PgoutputFault::UnknownCell(other) }),
            });
        }
        Ok(cells)
    }

    /// The byte before the cursor announced a tuple that may not stand here.
    fn unexpected_tuple(&self) -> PgoutputError {
        let offset = self.at - 1;
        PgoutputError { offset, fault: PgoutputFault::UnexpectedTuple(self.bytes[offset]) }
    }

    fn expect_new(&mut self) -> Result<(), PgoutputError> {
        if self.u8()? == b'N' { Ok(()) } else { Err(self.unexpected_tuple()) }
    }

    /// `None` after reading a marker that is neither `K` nor `O`.
    fn old_tuple(&mut self) -> Result<Option<OldTuple<'a>>, PgoutputError> {
        Ok(match self.u8()? {
            b'K' => Some(OldTuple::Key(self.tuple()?)),
            b'O' => Some(OldTuple::Full(self.tuple()?)),
            _ => None,
        })
    }

    fn update(&mut self) -> Result<Message<'a>, PgoutputError> {
        let relation = self.u32()?;
        let old = self.old_tuple()?;
        match &old {
            Some(_) => self.expect_new()?,
            None if self.bytes[self.at - 1] == b'N' => (),
            None => return Err(self.unexpected_tuple()),
        }
        Ok(Message::Update { relation, old, new: self.tuple()? })
    }

    fn relation(&mut self) -> Result<Message<'a>, PgoutputError> {
        let (id, schema, name) = (self.u32()?, self.string()?, self.string()?);
        let replica_identity = self.u8()?;
        let count = self.count()?;
        let mut columns = Vec::with_capacity(self.capacity(count, 10));
        for _ in 0..count {
            columns.push(RelationColumn {
                is_identity: self.u8()? & 1 != 0,
                name: self.string()?,
                type_oid: self.u32()?,
                type_modifier: self.i32()?,
            });
        }
        Ok(Message::Relation { id, schema, name, replica_identity, columns })
    }

    fn truncate(&mut self) -> Result<Message<'a>, PgoutputError> {
        let count = self.length()?;
        let options = self.u8()?;
        let mut relations = Vec::with_capacity(self.capacity(count, 4));
        for _ in 0..count {
            relations.push(self.u32()?);
        }
        Ok(Message::Truncate { relations, options })
    }
}
