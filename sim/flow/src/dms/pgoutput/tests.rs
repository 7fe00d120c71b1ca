//! Hand-built messages through the decoder, and garbage that must be refused without a panic.

use proptest::prelude::*;

use super::*;

/// Writes messages as a walsender does; knows nothing of the decoder.
#[derive(Default)]
struct Wire(Vec<u8>);

impl Wire {
    fn tag(tag: u8) -> Self {
        Self(vec![tag])
    }
    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }
    fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn string(mut self, text: &str) -> Self {
        self.0.extend(text.as_bytes());
        self.byte(0)
    }
    fn tuple(self, marker: u8, cells: &[OwnedCell]) -> Self {
        let mut wire = self.byte(marker).i16(cells.len() as i16);
        for cell in cells {
            wire = match cell {
                OwnedCell::Null => wire.byte(b'n'),
                OwnedCell::Unchanged => wire.byte(b'u'),
                OwnedCell::Text(text) => {
                    let mut wire = wire.byte(b't').i32(text.len() as i32);
                    wire.0.extend(text.as_bytes());
                    wire
                }
            };
        }
        wire
    }
}

#[derive(Clone, Debug)]
enum OwnedCell {
    Null,
    Unchanged,
    Text(String),
}

impl OwnedCell {
    fn borrow(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Unchanged => Cell::Unchanged,
            Self::Text(text) => Cell::Text(text),
        }
    }
}

fn text(text: &str) -> OwnedCell {
    OwnedCell::Text(text.to_owned())
}

fn fault(bytes: &[u8]) -> (usize, PgoutputFault) {
    let error = decode(bytes).expect_err("must be refused");
    (error.offset, error.fault)
}

#[test]
fn a_transaction_frame_is_read() {
    let begin = Wire::tag(b'B').u64(0x1_0000_0010).i64(1_000_000).u32(731);
    assert_eq!(
        decode(&begin.0),
        Ok(Message::Begin { final_lsn: Lsn(0x1_0000_0010), commit_time: Timestamp(946_684_801_000_000), xid: 731 })
    );
    let commit = Wire::tag(b'C').byte(0).u64(7).u64(9).i64(-946_684_800_000_000);
    assert_eq!(
        decode(&commit.0),
        Ok(Message::Commit { commit_lsn: Lsn(7), end_lsn: Lsn(9), commit_time: Timestamp(0) })
    );
}

#[test]
fn relations_types_origins_truncates_and_messages_are_read() {
    let relation =
        Wire::tag(b'R').u32(16_384).string("dm_core").string("beer").byte(b'd').i16(2).byte(1).string("beer_id");
    let relation = relation.u32(20).i32(-1).byte(0).string("beer_abv").u32(1700).i32(262_149);
    let Ok(Message::Relation { id, schema, name, replica_identity, columns }) = decode(&relation.0) else {
        panic!("a relation")
    };
    assert_eq!((id, schema, name, replica_identity), (16_384, "dm_core", "beer", b'd'));
    assert!(columns[0].is_identity && !columns[1].is_identity);
    assert_eq!((columns[1].name, columns[1].type_oid, columns[1].type_modifier), ("beer_abv", 1700, 262_149));

    let named = Wire::tag(b'Y').u32(5).string("public").string("mood");
    assert_eq!(decode(&named.0), Ok(Message::Type { id: 5, schema: "public", name: "mood" }));
    let origin = Wire::tag(b'O').u64(3).string("north");
    assert_eq!(decode(&origin.0), Ok(Message::Origin { lsn: Lsn(3), name: "north" }));
    let truncate = Wire::tag(b'T').i32(2).byte(1).u32(8).u32(9);
    assert_eq!(decode(&truncate.0), Ok(Message::Truncate { relations: vec![8, 9], options: 1 }));
    let logical = Wire::tag(b'M').byte(1).u64(4).string("app").i32(2).byte(0xff).byte(0);
    assert_eq!(
        decode(&logical.0),
        Ok(Message::Logical { transactional: true, lsn: Lsn(4), prefix: "app", content: &[0xff, 0] })
    );
}

#[test]
fn a_key_update_keeps_old_key_new_row_and_unchanged_toast_apart() {
    let update = Wire::tag(b'U')
        .u32(1)
        .tuple(b'K', &[text("1"), OwnedCell::Null])
        .tuple(b'N', &[text("2"), OwnedCell::Unchanged]);
    assert_eq!(
        decode(&update.0),
        Ok(Message::Update {
            relation: 1,
            old: Some(OldTuple::Key(vec![Cell::Text("1"), Cell::Null])),
            new: vec![Cell::Text("2"), Cell::Unchanged]
        })
    );
    let delete = Wire::tag(b'D').u32(1).tuple(b'O', &[text("1"), text("")]);
    assert_eq!(
        decode(&delete.0),
        Ok(Message::Delete { relation: 1, old: OldTuple::Full(vec![Cell::Text("1"), Cell::Text("")]) })
    );
}

#[test]
fn refusals_name_the_byte() {
    assert_eq!(fault(b""), (0, PgoutputFault::Truncated { needed: 1 }));
    assert_eq!(fault(b"S"), (0, PgoutputFault::UnknownMessage(b'S')));
    assert_eq!(fault(&Wire::tag(b'O').u64(3).byte(b'x').0), (9, PgoutputFault::UnterminatedString));
    assert_eq!(fault(&Wire::tag(b'O').u64(3).byte(b'x').byte(0xff).byte(0).0), (10, PgoutputFault::NotUtf8));
    let insert = || Wire::tag(b'I').u32(1);
    assert_eq!(fault(&insert().byte(b'K').0), (5, PgoutputFault::UnexpectedTuple(b'K')));
    assert_eq!(fault(&insert().byte(b'N').i16(-1).0), (6, PgoutputFault::NegativeLength));
    assert_eq!(fault(&insert().byte(b'N').i16(1).byte(b'b').i32(0).0), (8, PgoutputFault::BinaryCell));
    assert_eq!(fault(&insert().byte(b'N').i16(1).byte(b'x').0), (8, PgoutputFault::UnknownCell(b'x')));
    assert_eq!(fault(&insert().byte(b'N').i16(1).byte(b't').i32(-1).0), (9, PgoutputFault::NegativeLength));
    assert_eq!(
        fault(&insert().byte(b'N').i16(1).byte(b't').i32(5).byte(b'a').0),
        (13, PgoutputFault::Truncated { needed: 4 })
    );
    assert_eq!(fault(&insert().tuple(b'N', &[]).byte(0).0), (8, PgoutputFault::TrailingBytes(1)));
    assert_eq!(fault(&Wire::tag(b'D').u32(1).byte(b'N').0), (5, PgoutputFault::UnexpectedTuple(b'N')));
    assert_eq!(fault(&Wire::tag(b'U').u32(1).byte(b'X').0), (5, PgoutputFault::UnexpectedTuple(b'X')));
    assert_eq!(fault(&Wire::tag(b'U').u32(1).tuple(b'K', &[]).byte(b'K').0), (8, PgoutputFault::UnexpectedTuple(b'K')));
}

#[test]
fn debug_does_not_show_values() {
    assert!(!format!("{:?}", Cell::Text("ana@example.com")).contains("ana"));
}

fn cell() -> impl Strategy<Value = OwnedCell> {
    prop_oneof![Just(OwnedCell::Null), Just(OwnedCell::Unchanged), any::<String>().prop_map(OwnedCell::Text)]
}

fn cells() -> impl Strategy<Value = Vec<OwnedCell>> {
    proptest::collection::vec(cell(), 0..6)
}

fn valid_message() -> impl Strategy<Value = Vec<u8>> {
    let name = "[a-z_]{0,8}";
    prop_oneof![
        (any::<u64>(), any::<i64>(), any::<u32>()).prop_map(|(lsn, at, xid)| Wire::tag(b'B')
            .u64(lsn)
            .i64(at)
            .u32(xid)
            .0),
        (any::<u64>(), any::<u64>(), any::<i64>()).prop_map(|(lsn, end, at)| Wire::tag(b'C')
            .byte(0)
            .u64(lsn)
            .u64(end)
            .i64(at)
            .0),
        (any::<u32>(), name, name, any::<u32>()).prop_map(|(id, schema, table, oid)| {
            let head = Wire::tag(b'R').u32(id).string(&schema).string(&table).byte(b'd').i16(1);
            head.byte(1).string("id").u32(oid).i32(-1).0
        }),
        (any::<u32>(), cells()).prop_map(|(id, new)| Wire::tag(b'I').u32(id).tuple(b'N', &new).0),
        (any::<u32>(), cells(), cells()).prop_map(|(id, old, new)| Wire::tag(b'U')
            .u32(id)
            .tuple(b'O', &old)
            .tuple(b'N', &new)
            .0),
        (any::<u32>(), cells()).prop_map(|(id, old)| Wire::tag(b'D').u32(id).tuple(b'K', &old).0),
        proptest::collection::vec(any::<u32>(), 0..4).prop_map(|ids| {
            ids.iter().fold(Wire::tag(b'T').i32(ids.len() as i32).byte(0), |wire, id| wire.u32(*id)).0
        }),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = decode(&bytes) {
            prop_assert!(error.offset <= bytes.len());
        }
    }

    #[test]
    fn any_bytes_behind_a_known_tag_are_read_or_refused(
        tag in proptest::sample::select(b"BCORYIUDTM".to_vec()),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let message = [&[tag][..], &bytes].concat();
        if let Err(error) = decode(&message) {
            prop_assert!(error.offset <= message.len());
        }
    }

    #[test]
    fn every_proper_prefix_of_a_message_is_refused(message in valid_message()) {
        prop_assert!(decode(&message).is_ok());
        for end in 0..message.len() {
            prop_assert!(decode(&message[..end]).is_err(), "prefix of {end} bytes");
        }
    }

    #[test]
    fn rows_come_back_cell_by_cell(id: u32, old in cells(), new in cells()) {
        let wire = Wire::tag(b'U').u32(id).tuple(b'K', &old).tuple(b'N', &new);
        let expected = Message::Update {
            relation: id,
            old: Some(OldTuple::Key(old.iter().map(OwnedCell::borrow).collect())),
            new: new.iter().map(OwnedCell::borrow).collect(),
        };
        prop_assert_eq!(decode(&wire.0), Ok(expected));
    }
}
