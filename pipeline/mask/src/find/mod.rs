//! Finds personal data and secrets in free text, in one pass over the bytes.
//!
//! A prefilter finds the blocks that hold a digit or an `@`; from there hand-written parsers grow candidates both ways, check
//! digits, ranges and the words around decide, and of overlapping candidates the surest is kept. A whole Arrow column is read
//! as the one buffer it is; a finding never spans two rows. Findings are in order, never overlap, and lie on character
//! boundaries. Scores are between 0 and 1 and only rank: 0.95 and more where check digits or an unmistakable shape decide,
//! around 0.8 for a shape alone, 0.6 to 0.9 for shapes that only the words around give a meaning. Knows nothing of columns,
//! policies or what is done with a finding.

mod kind;
mod prefilter;
mod row;

mod context;

mod birth;
mod brazil;
mod card;
mod document;
mod email;
mod iban;
mod network;
mod phone;
mod secret;
mod united_states;
mod url;
mod words;

mod resolve;

pub mod validate;

#[cfg(test)]
mod tests;

use arrow::array::{Array, StringArray};
use memchr::memmem;

pub use kind::{Finding, PiiKind, PiiKinds};
use prefilter::Triggers;
use resolve::resolve;
use row::{Row, Run};
use united_states::{itin, ssn};

/// From this score on the rest of a finding is not looked at again: nothing in it would be surer.
const SURE: f32 = 0.96;

/// Finds the wanted kinds. Holds no text and nothing that changes: one scanner serves all threads.
#[derive(Clone, Debug)]
pub struct Scanner {
    kinds: PiiKinds,
    keys: [memmem::Finder<'static>; 2],
}

impl Default for Scanner {
    /// A scanner for all kinds.
    fn default() -> Self {
        Self::new(PiiKinds::all())
    }
}

impl Scanner {
    /// A scanner for some kinds.
    pub fn new(kinds: PiiKinds) -> Self {
        Self { kinds, keys: secret::KEY_PREFIXES.map(|prefix| memmem::Finder::new(prefix)) }
    }

    /// The kinds it finds.
    pub fn kinds(&self) -> PiiKinds {
        self.kinds
    }

    /// Puts the findings of a text into `found`, in order and without overlaps; what was in there is gone.
    pub fn scan(&self, text: &str, found: &mut Vec<Finding>) {
        let mut row = Row::new(self.kinds);
        std::mem::swap(&mut row.found, found);
        self.scan_row(&mut row, text);
        std::mem::swap(&mut row.found, found);
    }

    /// Calls `each` with the number and the findings of every row that has any; offsets count from the row's first byte. NULL
    /// has none.
    pub fn scan_rows(&self, rows: &StringArray, mut each: impl FnMut(usize, &[Finding])) {
        let mut row = Row::new(self.kinds);
        if self.wants_words() {
            for number in (0..rows.len()).filter(|number| rows.is_valid(*number)) {
                self.scan_row(&mut row, rows.value(number));
                if !row.found.is_empty() {
                    each(number, &row.found);
                }
            }
            return;
        }
        let offsets = rows.value_offsets();
        let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else { return };
        let place = |offset: i32| usize::try_from(offset).unwrap_or(0);
        let base = place(first);
        let bytes = &rows.value_data()[base..place(last)];
        let mut finish = |row: &mut Row<'_>, number: usize| {
            if !row.found.is_empty() {
                resolve(&mut row.found);
                each(number, &row.found);
                row.found.clear();
            }
        };
        let (mut number, mut end) = (0, 0);
        self.sweep(bytes, |at| {
            if at >= end {
                finish(&mut row, number);
                // Empty rows and rows without a trigger are passed over.
                number += offsets[number + 1..].iter().take_while(|end| place(**end) <= base + at).count();
                end = place(offsets[number + 1]) - base;
                row.enter(if rows.is_valid(number) { rows.value(number) } else { "" });
            }
            let start = place(offsets[number]) - base;
            if row.bytes.is_empty() { end } else { start + trigger(&mut row, at - start) }
        });
        finish(&mut row, number);
    }

    fn wants_words(&self) -> bool {
        self.kinds.contains(PiiKind::Name) || self.kinds.contains(PiiKind::Address)
    }

    fn scan_row<'a>(&self, row: &mut Row<'a>, text: &'a str) {
        row.enter(text);
        self.sweep(text.as_bytes(), |at| trigger(row, at));
        if self.wants_words() {
            let from = row.found.len();
            words::candidates(text, &mut row.found);
            let named = row.found.split_off(from);
            let is_ours = |finding: &Finding| self.kinds.contains(finding.kind) && !touches_label(text, finding);
            row.found.extend(named.into_iter().filter(is_ours));
        }
        resolve(&mut row.found);
    }

    /// Calls `on` with each place worth a look, in order; it gives the place to go on from.
    fn sweep(&self, bytes: &[u8], mut on: impl FnMut(usize) -> usize) {
        let mut triggers = Triggers::of(bytes);
        let next_key = |from: usize| {
            let places = self.keys.iter().filter_map(|finder| finder.find(&bytes[from..]));
            places.min().map_or(usize::MAX, |distance| from + distance)
        };
        let mut key = if self.kinds.contains(PiiKind::AwsAccessKey) { next_key(0) } else { usize::MAX };
        let mut from = 0;
        loop {
            let trigger = triggers.next(from).unwrap_or(usize::MAX);
            if key < trigger {
                on(key);
                // One byte on: the last letter of a prefix may be the first of another, in the next row.
                key = next_key(key + 1);
            } else if trigger < usize::MAX {
                from = on(trigger).max(trigger + 1);
            } else {
                return;
            }
        }
    }
}

/// Whether a finding lies over a label that redaction left: a label is nobody's name.
fn touches_label(text: &str, finding: &Finding) -> bool {
    let bytes = text.as_bytes();
    let reach = finding.start.saturating_sub(context::LABEL_BYTES_MAX);
    let mut brackets = memchr::memchr_iter(b'[', &bytes[reach..finding.end]).map(|at| reach + at);
    brackets.any(|at| context::label(&bytes[at..]).is_some_and(|length| at + length > finding.start))
}

/// Looks at one place of a row: a digit, an `@`, or the beginning of an access key id. Gives the place to go on from.
fn trigger(row: &mut Row<'_>, at: usize) -> usize {
    match row.byte(at) {
        b'@' => {
            if row.wants(PiiKind::Email) {
                email::find(row, at);
            }
            if row.wants(PiiKind::UrlCredentials) {
                url::find(row, at);
            }
            at + 1
        }
        b'0'..=b'9' => {
            let end = at + row.bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if row.before(at).is_ascii_digit() {
                return end;
            }
            let before = row.found.len();
            let run = row.run(at, end);
            number(row, run);
            let sure = row.found[before..].iter().filter(|finding| finding.score >= SURE);
            sure.map(|finding| finding.end).fold(end, usize::max)
        }
        _ => {
            secret::access_key(row, at);
            at + 1
        }
    }
}

/// Every kind that begins at or stands around a run of digits.
///
/// Most numbers in prose are short and stand alone; what they touch rules out nearly everything before a detector is asked.
fn number(row: &mut Row<'_>, run: Run) {
    use PiiKind as K;
    let touches_letter = run.before.is_ascii_alphabetic() || run.after.is_ascii_alphabetic();
    if run.len() <= 4 {
        short_number(row, run, touches_letter);
    } else {
        long_number(row, run);
    }
    if run.before.is_ascii_uppercase() && run.len() >= 2 {
        if row.wants(K::Iban) {
            iban::find(row, run);
        }
        if row.wants(K::Cnpj) {
            brazil::cnpj(row, run);
        }
    }
    if touches_letter || matches!(run.before, b'/' | b'+') || matches!(run.after, b'/' | b'+') {
        if row.wants(K::AwsSecretKey) {
            secret::secret_key(row, run);
        }
    }
}

/// One to four digits: a number only together with what is linked to them.
fn short_number(row: &mut Row<'_>, run: Run, touches_letter: bool) {
    use PiiKind as K;
    let (length, next) = (run.len(), row.byte(run.end + 1));
    let is_linked = matches!(run.after, b'-' | b'.' | b'/' | b' ') && next.is_ascii_digit();
    if (is_linked || matches!(run.before, b'+' | b'(') || next == b'(') && row.wants(K::Phone) {
        phone::find(row, run);
    }
    if is_linked {
        let detectors: &[(K, Detector)] = match length {
            1 => &[(K::IpAddress, network::ipv4), (K::Rg, brazil::rg)],
            2 => &[(K::IpAddress, network::ipv4), (K::Rg, brazil::rg), (K::Cep, brazil::cep)],
            3 => &[(K::IpAddress, network::ipv4), (K::Cpf, brazil::cpf), (K::Ssn, ssn), (K::Itin, itin)],
            _ => &[(K::CreditCard, card::find)],
        };
        ask(row, run, detectors);
    }
    if length != 3 && row.wants(K::BirthDate) {
        birth::find(row, run);
    }
    if run.before == b'-' {
        ask(row, run, &[(K::Cnpj, brazil::cnpj), (K::PixKey, brazil::pix_key)]);
    }
    if touches_letter || run.before == b':' || run.after == b':' {
        if row.wants(K::IpAddress) || row.wants(K::MacAddress) {
            network::with_colons(row, run);
        }
        if length >= 3 {
            document::find(row, run);
        }
    }
    if length <= 2 && (touches_letter || run.before == b'-' || run.after == b'-') && row.wants(K::MacAddress) {
        network::mac_with_hyphens(row, run);
    }
}

/// Five digits and more, which may be a number by themselves.
fn long_number(row: &mut Row<'_>, run: Run) {
    use PiiKind as K;
    let detectors: &[(K, Detector)] = match run.len() {
        5 => &[(K::Phone, phone::find), (K::Cep, brazil::cep)],
        6 => &[(K::Phone, phone::find)],
        7 | 8 => &[(K::Phone, phone::find), (K::Cep, brazil::cep), (K::Rg, brazil::rg)],
        9 => &[(K::Phone, phone::find), (K::Ssn, ssn), (K::Itin, itin), (K::Rg, brazil::rg), (K::Cpf, brazil::cpf)],
        10 | 12 => &[(K::Phone, phone::find)],
        11 => &[(K::Phone, phone::find), (K::Cpf, brazil::cpf)],
        13..=15 => &[(K::Phone, phone::find), (K::CreditCard, card::find), (K::Cnpj, brazil::cnpj)],
        16..=19 => &[(K::CreditCard, card::find)],
        _ => &[],
    };
    ask(row, run, detectors);
    if (6..=14).contains(&run.len()) {
        document::find(row, run);
    }
}

type Detector = fn(&mut Row<'_>, Run);

fn ask(row: &mut Row<'_>, run: Run, detectors: &[(PiiKind, Detector)]) {
    for (kind, detector) in detectors {
        if row.wants(*kind) {
            detector(row, run);
        }
    }
}
