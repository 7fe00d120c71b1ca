//! Objects to be: good ones that hold planted personal data, and what is done to their text and to their compressed bytes.

use lakebed_ingest::engine::{Compression, CsvFormat, Format};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::bench::{beer_table, gzip, zstd};
use crate::check::Check;

/// Personal data that good objects hold. All of it is in columns with a class, or in free text in forms that are found there.
pub(super) const PLANTED: [&str; 10] = [
    "ana.lima@example.com",
    "joao_souza+beer@mail.example.org",
    "(11) 91234-5678",
    "+55 21 99876-5432",
    "529.982.247-25",
    "111.444.777-35",
    "Ana Beatriz Lima",
    "Otávio Quintanilha",
    "1984-05-06",
    "01310-100",
];
pub(super) const ROWS: usize = 24;

/// One object to be: a good one, and what is done to it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) table: &'static str,
    pub(super) is_csv: bool,
    pub(super) compression: Compression,
    /// Order of the columns, and two columns with a class of text that change their names.
    pub(super) order: Vec<usize>,
    pub(super) swap: Option<(usize, usize)>,
    pub(super) corruptions: Vec<Corruption>,
    pub(super) damage: Damage,
}

/// What is done to the text.
#[derive(Clone, Debug)]
pub(super) enum Corruption {
    FlipBit(Index, u8),
    Truncate(Index),
    /// A piece from somewhere, so long at most, put elsewhere.
    Copy(Index, usize, Index),
    /// Everything between two places.
    Cut(Index, usize),
    HugeField(Index, usize),
    RepeatHeader(Index),
    Quotes(Index, usize),
    Nul(Index),
}

/// What is done to the compressed bytes.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    None,
    /// The text in several members, as it may be.
    Members(Vec<Index>),
    /// The same, with one of them missing, or twice.
    MemberLost(Vec<Index>, Index),
    MemberTwice(Vec<Index>, Index),
    Garbage(Vec<Index>, Vec<u8>),
    FlipBit(Index, u8),
    Truncate(Index),
}

impl Corruption {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::FlipBit(..) => "flip bit",
            Self::Truncate(_) => "truncate",
            Self::Copy(..) => "copy",
            Self::Cut(..) => "cut",
            Self::HugeField(..) => "huge field",
            Self::RepeatHeader(_) => "repeat header",
            Self::Quotes(..) => "quotes",
            Self::Nul(_) => "NUL",
        }
    }

    fn apply(&self, text: &mut Vec<u8>) {
        let length = text.len();
        let place = |at: &Index| at.index(length + 1);
        match self {
            Self::FlipBit(..) | Self::Cut(..) | Self::Copy(..) if text.is_empty() => {}
            Self::FlipBit(at, bit) => {
                let at = at.index(text.len());
                text[at] ^= 1 << bit;
            }
            Self::Truncate(at) => text.truncate(place(at)),
            Self::Copy(from, length, to) => {
                let (from, to) = (from.index(text.len()), place(to));
                let piece = text[from..text.len().min(from + length)].to_vec();
                text.splice(to..to, piece);
            }
            Self::Cut(from, length) => {
                let from = from.index(text.len());
                text.drain(from..text.len().min(from + length));
            }
            Self::HugeField(at, length) => insert(text, place(at), &b"huge ".repeat(length / 5)),
            Self::RepeatHeader(at) => {
                let line_end =
                    |from: usize| memchr::memchr(b'\n', &text[from..]).map_or(text.len(), |end| from + end + 1);
                let (header, at) = (text[..line_end(0)].to_vec(), line_end(place(at)));
                insert(text, at, &header);
            }
            Self::Quotes(at, count) => insert(text, place(at), &b"\"".repeat(*count)),
            Self::Nul(at) => insert(text, place(at), &[0]),
        }
    }
}

fn insert(text: &mut Vec<u8>, at: usize, piece: &[u8]) {
    text.splice(at..at, piece.iter().copied());
}

impl Damage {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::None => "no damage",
            Self::Members(_) => "members",
            Self::MemberLost(..) => "member lost",
            Self::MemberTwice(..) => "member twice",
            Self::Garbage(..) => "garbage",
            Self::FlipBit(..) => "compressed bit",
            Self::Truncate(_) => "compressed cut",
        }
    }

    fn compress(&self, text: &[u8], compression: Compression) -> Vec<u8> {
        let whole = || compress(text, compression);
        match self {
            Self::None => whole(),
            Self::Members(cuts) => members(text, cuts, compression).concat(),
            Self::MemberLost(cuts, at) => {
                let mut members = members(text, cuts, compression);
                members.remove(at.index(members.len()));
                members.concat()
            }
            Self::MemberTwice(cuts, at) => {
                let mut members = members(text, cuts, compression);
                members.insert(at.index(members.len()), members[at.index(members.len())].clone());
                members.concat()
            }
            Self::Garbage(cuts, garbage) => members(text, cuts, compression).join(&garbage[..]),
            Self::FlipBit(at, bit) => {
                let mut object = whole();
                let at = at.index(object.len().max(1));
                object.get_mut(at..).and_then(<[u8]>::first_mut).into_iter().for_each(|byte| *byte ^= 1 << bit);
                object
            }
            Self::Truncate(at) => {
                let mut object = whole();
                object.truncate(at.index(object.len() + 1));
                object
            }
        }
    }
}

fn compress(text: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::Plain => text.to_vec(),
        Compression::Gzip => gzip(text),
        Compression::Zstd => zstd(text),
    }
}

/// The text cut at some places, each piece compressed on its own.
fn members(text: &[u8], cuts: &[Index], compression: Compression) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    places.extend([0, text.len()]);
    places.sort_unstable();
    places.windows(2).map(|piece| compress(&text[piece[0]..piece[1]], compression)).collect()
}

/// A good object's rows. Cells of columns with a class are planted values, and so are parts of the comments.
fn cells(table: &str) -> Vec<Vec<String>> {
    let of = |values: &[&str], row: usize| values[row % values.len()].to_owned();
    let profile = |row: usize| {
        let fixed = [of(&PLANTED[..2], row), of(&PLANTED[6..8], row), of(&PLANTED[2..4], row), of(&PLANTED[4..6], row)];
        let [email, name, phone, cpf] = fixed;
        let city = of(&["São Paulo", "Köln, am Rhein", "the \"City\""], row);
        let (id, pseudonym) = ((row + 1).to_string(), format!("hopfan{row}"));
        vec![id, pseudonym, email, name, phone, cpf, PLANTED[8].into(), city, "SP".into(), PLANTED[9].into()]
    };
    let review = |row: usize| {
        let comment = match row % 4 {
            0 => format!("Great head, write to {} for more 🍺", PLANTED[row / 4 % 2]),
            1 => format!("Call me at {}\nor mail {}.", PLANTED[2 + row / 4 % 2], PLANTED[0]),
            2 => format!("my \"cpf\" is {}, keep it", PLANTED[4 + row / 4 % 2]),
            _ => "crisp, dry, and gone".to_owned(),
        };
        let mut cells: Vec<String> = [row + 1, row % 3 + 1, row % 5 + 1, row % 7 + 1].map(|id| id.to_string()).into();
        cells.extend(["4.5", "4.0", "3.5", "4.0", "5.0", "2010-11-01 00:02:00+00"].map(str::to_owned));
        cells.push(comment);
        cells
    };
    (0..ROWS).map(|row| if table == "profile" { profile(row) } else { review(row) }).collect()
}

impl Case {
    pub(super) fn text(&self) -> Vec<u8> {
        let table = beer_table(self.table);
        let order: Vec<usize> = self.order.iter().copied().filter(|at| *at < table.columns.len()).collect();
        let mut names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        if let Some((one, other)) = self.swap.filter(|_| self.table == "profile") {
            names.swap(one, other);
        }
        let line = |cells: &mut dyn Iterator<Item = String>| cells.collect::<Vec<_>>().join(",") + "\n";
        let mut text = String::new();
        if self.is_csv {
            text += &line(&mut order.iter().map(|at| names[*at].to_owned()));
        }
        for (row, cells) in cells(self.table).iter().enumerate() {
            if self.is_csv {
                text += &line(&mut order.iter().map(|at| csv_field(&cells[*at], row % 2 == 0)));
                continue;
            }
            let members = order.iter().map(|at| format!("\"{}\":{}", names[*at], serde_json::json!(cells[*at])));
            let operation = if row % 3 == 0 { "load" } else { "insert" };
            text += &format!(
                "{{\"data\":{{{}}},\"metadata\":{{\"timestamp\":\"2024-07-29T00:59:07.5Z\",\"record-type\":\"data\",\
                 \"operation\":\"{operation}\",\"partition-key-type\":\"schema-table\",\"schema-name\":\"dm_core\",\
                 \"table-name\":\"{}\",\"commit-timestamp\":\"2024-07-29T00:59:07.5Z\",\
                 \"stream-position\":\"00000002/7C0073F8.{row}.00000002/7C0073F8\"}}}}\n",
                members.collect::<Vec<_>>().join(","),
                self.table
            );
        }
        text.into_bytes()
    }

    pub(super) fn object(&self) -> Vec<u8> {
        let mut text = self.text();
        self.corruptions.iter().for_each(|corruption| corruption.apply(&mut text));
        self.damage.compress(&text, self.compression)
    }

    pub(super) fn check(&self) -> Check {
        let format = if self.is_csv { Format::Csv(CsvFormat::default()) } else { Format::Json };
        Check::new(beer_table(self.table), format)
    }

    /// Whether every row must arrive.
    pub(super) fn is_whole(&self) -> bool {
        self.corruptions.is_empty() && matches!(self.damage, Damage::None | Damage::Members(_))
    }
}

fn csv_field(text: &str, quoted: bool) -> String {
    if quoted || text.contains(['"', ',', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn corruption() -> impl Strategy<Value = Corruption> {
    let at = any::<Index>;
    prop_oneof![
        5 => (at(), 0u8..8).prop_map(|(at, bit)| Corruption::FlipBit(at, bit)),
        1 => at().prop_map(Corruption::Truncate),
        2 => (at(), 1usize..400, at()).prop_map(|(from, length, to)| Corruption::Copy(from, length, to)),
        2 => (at(), 1usize..200).prop_map(|(from, length)| Corruption::Cut(from, length)),
        1 => (at(), 1_000usize..200_000).prop_map(|(at, length)| Corruption::HugeField(at, length)),
        1 => at().prop_map(Corruption::RepeatHeader),
        2 => (at(), 1usize..4).prop_map(|(at, count)| Corruption::Quotes(at, count)),
        1 => at().prop_map(Corruption::Nul),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    let cuts = || prop::collection::vec(any::<Index>(), 1..4);
    prop_oneof![
        6 => Just(Damage::None),
        2 => cuts().prop_map(Damage::Members),
        1 => (cuts(), at()).prop_map(|(cuts, at)| Damage::MemberLost(cuts, at)),
        1 => (cuts(), at()).prop_map(|(cuts, at)| Damage::MemberTwice(cuts, at)),
        1 => (cuts(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(cuts, bytes)| Damage::Garbage(cuts, bytes)),
        1 => (at(), 0u8..8).prop_map(|(at, bit)| Damage::FlipBit(at, bit)),
        1 => at().prop_map(Damage::Truncate),
    ]
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let compression = prop::sample::select(vec![Compression::Gzip, Compression::Gzip, Compression::Zstd]);
    // E-mail, name, phone, CPF: each with a class, so a value under the wrong one is masked all the same.
    let swap = prop::option::weighted(0.2, (2usize..6, 2usize..6));
    let order = Just((0..11).collect::<Vec<usize>>());
    let order = prop_oneof![order.clone(), order.prop_shuffle()];
    let corruptions = prop::collection::vec(corruption(), 0..5);
    (prop::sample::select(vec!["profile", "review"]), any::<bool>(), compression, order, swap, corruptions, damage())
        .prop_map(|(table, is_csv, compression, order, swap, corruptions, damage)| Case {
            table,
            is_csv,
            compression,
            order,
            swap,
            corruptions,
            damage,
        })
}
