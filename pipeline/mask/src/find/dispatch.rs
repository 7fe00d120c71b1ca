//! Which detectors are asked about a place: a digit, an `@`, or the beginning of an access key id.
//!
//! Most numbers in prose are short and stand alone; how long a run of digits is and what it touches rule out nearly all kinds
//! before a detector is called. Asks no kind that is not wanted. Decides nothing itself: what detectors report are candidates.

use super::kind::PiiKind;
use super::row::{Row, Run};
use super::united_states::{itin, ssn};
use super::{birth, brazil, card, document, email, iban, network, phone, secret, url};

/// From this score on the rest of a finding is not looked at again: what begins in it is hardly ever surer.
const SURE: f32 = 0.86;

/// Looks at one place of a row: a digit, an `@`, or the beginning of an access key id. Gives the place to go on from.
pub(super) fn trigger(row: &mut Row<'_>, at: usize) -> usize {
    match row.byte(at) {
        b'@' => {
            let before = row.found.len();
            if row.wants(PiiKind::Email) {
                email::find(row, at);
            }
            if row.wants(PiiKind::UrlCredentials) {
                url::find(row, at);
            }
            behind_sure(row, before, at + 1)
        }
        b'0'..=b'9' => {
            let end = at + row.bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if row.before(at).is_ascii_digit() {
                return end;
            }
            let before = row.found.len();
            let run = row.run(at, end);
            number(row, run);
            behind_sure(row, before, end)
        }
        _ => {
            secret::access_key(row, at);
            at + 1
        }
    }
}

/// The end of the sure findings from the `before`th on; `end` without any.
#[inline]
fn behind_sure(row: &Row<'_>, before: usize, end: usize) -> usize {
    let sure = row.found[before..].iter().filter(|finding| finding.score >= SURE);
    sure.map(|finding| finding.end).fold(end, usize::max)
}

/// Every kind that begins at or stands around a run of digits.
fn number(row: &mut Row<'_>, run: Run) {
    use PiiKind as K;
    let before = row.found.len();
    if run.before.is_ascii_uppercase() && run.len() >= 2 {
        ask(row, run, &[(K::Iban, iban::find), (K::Cnpj, brazil::cnpj)]);
        if row.found.len() > before {
            return;
        }
    }
    let touches_letter = run.before.is_ascii_alphabetic() || run.after.is_ascii_alphabetic();
    if run.len() <= 4 {
        short_number(row, run, touches_letter);
    } else {
        long_number(row, run);
    }
    if touches_letter {
        ask(row, run, &[(K::AwsSecretKey, secret::secret_key)]);
    }
}

/// One to four digits: a number only together with what is linked to them. How many digits are linked rules out most kinds.
fn short_number(row: &mut Row<'_>, run: Run, touches_letter: bool) {
    use PiiKind as K;
    let length = run.len();
    let next = row.byte(run.end + 1);
    let linked = match run.after {
        b'-' | b'.' | b'/' | b' ' if next.is_ascii_digit() => row.digits_at(run.end + 1, 7),
        _ => 0,
    };
    let dotted = if run.after == b'.' { linked } else { 0 };
    let found = row.found.len();
    match length {
        2 if dotted == 3 => ask(row, run, &[(K::Cnpj, brazil::cnpj_in_digits)]),
        3 if linked == 3 => ask(row, run, &[(K::Cpf, brazil::cpf)]),
        4 if matches!(linked, 4 | 6) => ask(row, run, &[(K::CreditCard, card::find)]),
        _ => {}
    }
    let is_phone = match length {
        1 => linked == 3,
        2 => matches!(linked, 1 | 2 | 4 | 5),
        3 => matches!(linked, 3..=5),
        _ => linked == 4,
    };
    let is_marked = matches!(run.before, b'+' | b'(') || next == b'(' || row.bytes[run.start..].starts_with(b"00");
    // Groups with right check digits leave nothing to ask, nor does a whole phone number.
    if row.found.len() == found && (is_phone || is_marked) {
        ask(row, run, &[(K::Phone, phone::find)]);
    }
    if row.found[found..].iter().any(|finding| finding.score >= SURE) {
        return;
    }
    match length {
        ..=2 if dotted == 3 => {
            ask(row, run, &[(K::IpAddress, network::ipv4), (K::Rg, brazil::rg), (K::Cep, brazil::cep)]);
        }
        ..=3 if matches!(dotted, 1..=3) => ask(row, run, &[(K::IpAddress, network::ipv4)]),
        _ => {}
    }
    match length {
        3 if linked == 2 => ask(row, run, &[(K::Ssn, ssn), (K::Itin, itin)]),
        ..=2 if matches!(linked, 0..=2 | 4) => ask(row, run, &[(K::BirthDate, birth::day_first)]),
        4 if matches!(linked, 1 | 2) => ask(row, run, &[(K::BirthDate, birth::year_first)]),
        _ => {}
    }
    if run.before == b'-' {
        match length {
            2 => ask(row, run, &[(K::Cnpj, brazil::cnpj), (K::PixKey, brazil::pix_key)]),
            _ => ask(row, run, &[(K::PixKey, brazil::pix_key)]),
        }
    }
    if touches_letter || run.before == b':' || run.after == b':' {
        if row.wants(K::IpAddress) || row.wants(K::MacAddress) {
            network::with_colons(row, run);
        }
        if length >= 3 {
            document::find(row, run);
        }
    }
    if length <= 2 && (touches_letter || run.before == b'-' || run.after == b'-') {
        ask(row, run, &[(K::MacAddress, network::mac_with_hyphens)]);
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

#[inline]
fn ask(row: &mut Row<'_>, run: Run, detectors: &[(PiiKind, Detector)]) {
    for (kind, detector) in detectors {
        if row.wants(*kind) {
            detector(row, run);
        }
    }
}
