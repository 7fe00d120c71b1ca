//! Promises that hold for any text, on a fixed number of texts made for trouble.

use arrow::array::StringArray;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::super::{Finding, PiiKind, PiiKinds, Scanner, validate};
use crate::redact_with;

const TEXTS: usize = 20_000;
/// Values, halves of values, words that give a meaning, and what tears characters and rows apart.
const PIECES: [&str; 64] = [
    "ana@x.com",
    "@",
    "a@b.co@c.de",
    ".",
    "..",
    "-",
    "+",
    "(",
    ")",
    ":",
    "::",
    "/",
    "://",
    "[",
    "]",
    "\n",
    "\0",
    "é",
    "🍺",
    "谢",
    " ",
    "  ",
    "529.982.247-25",
    "52998224725",
    "11.222.333/0001-81",
    "12ABC34501DE35",
    "01310-100",
    "01310100",
    "CEP",
    "RG ",
    "12.345.678-9",
    "pix ",
    "123e4567-e89b-42d3-a456-426614174000",
    "4111 1111 1111 1111",
    "4111111111111111",
    "GB82 WEST 1234 5698 7654 32",
    "536-90-4399",
    "536904399",
    "ssn ",
    "912-70-1234",
    "192.168.10.20",
    "fe80::1ff:fe23:4567:890a",
    "00:1a:2b:3c:4d:5e",
    "https://ana:pw@host/x",
    "AKIAIOSFODNN7EXAMPLE",
    "AKIA",
    "secret ",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "born ",
    "1984-05-06",
    "6 de maio de 1984",
    "May 6, 1984",
    "passport ",
    "AB123456",
    "driver's license ",
    "D1234567",
    "+55 (11) 91234-5678",
    "(11) 91234-5678",
    "212-555-0143",
    "tel ",
    "+5511912345678",
    "[CPF]",
    "[AWS-SECRET]",
    "x_",
];

fn text(rng: &mut ChaCha8Rng) -> String {
    let mut text = String::new();
    for _ in 0..rng.random_range(0..14) {
        match rng.random_range(0..8) {
            0 => text.push(rng.random()),
            1 => {
                let digits = rng.random_range(1..18);
                text.push_str(&rng.random_range(0..10_u64.pow(digits)).to_string());
            }
            2 => text.push(char::from(rng.random_range(b' '..=b'~'))),
            3 => text.push_str(&" malte e lúpulo".repeat(rng.random_range(0..8))),
            _ => text.push_str(PIECES[rng.random_range(0..PIECES.len())]),
        }
    }
    text
}

fn assert_sound(text: &str, found: &[Finding]) {
    let mut end = 0;
    for finding in found {
        assert!(end <= finding.start && finding.start < finding.end, "findings overlap or are empty in {text:?}");
        assert!(
            text.is_char_boundary(finding.start) && text.is_char_boundary(finding.end),
            "a cut character in {text:?}"
        );
        assert!((0.0..=1.0).contains(&finding.score), "a score beyond 1 in {text:?}");
        end = finding.end;
    }
    assert!(end <= text.len());
}

fn hold(kinds: PiiKinds) {
    let scanner = Scanner::new(kinds);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let rows: Vec<Option<String>> = (0..TEXTS).map(|_| (rng.random_range(0..20) > 0).then(|| text(&mut rng))).collect();
    let mut expected = Vec::new();
    let mut redacted_count = 0;
    for (row, text) in rows.iter().enumerate() {
        let Some(text) = text else { continue };
        let mut found = vec![Finding { kind: PiiKind::Name, start: 0, end: 1, score: 1.0 }];
        scanner.scan(text, &mut found);
        assert_sound(text, &found);
        let once = redact_with(&scanner, text).into_owned();
        assert_eq!(redact_with(&scanner, &once), once, "redacting twice is redacting once: {text:?}");
        redacted_count += usize::from(once != *text);
        if !found.is_empty() {
            expected.push((row, found));
        }
    }
    assert!(redacted_count > TEXTS / 3, "the texts hold something: {redacted_count}");
    // Slices have offsets that do not begin at 0, and values around them that are none of theirs.
    let array = StringArray::from(rows);
    for (from, length) in [(0, TEXTS), (1, TEXTS - 1), (777, 5_000), (TEXTS, 0)] {
        let mut by_rows = Vec::new();
        scanner.scan_rows(&array.slice(from, length), |row, found| by_rows.push((row + from, found.to_vec())));
        let expected = expected.iter().filter(|(row, _)| (from..from + length).contains(row));
        assert!(by_rows.iter().eq(expected), "rows and texts differ");
    }
}

#[test]
fn any_text_is_scanned_soundly() {
    hold(PiiKinds::all().without(PiiKind::Name).without(PiiKind::Address));
}

#[test]
fn any_text_is_scanned_soundly_with_names_and_addresses() {
    hold(PiiKinds::all());
}

#[test]
fn any_value_is_judged() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for _ in 0..TEXTS / 10 {
        let text = text(&mut rng);
        for kind in PiiKind::ALL {
            validate::is(kind, &text);
        }
    }
}

#[test]
fn a_number_torn_over_two_rows_is_none() {
    let rows = StringArray::from(vec![
        "cpf 529.982",
        ".247-25",
        "529982",
        "24725",
        "ana@",
        "x.com",
        "AKIAIOSFODNN",
        "7EXAMPLE",
    ]);
    for kinds in [PiiKinds::all(), PiiKinds::all().without(PiiKind::Name).without(PiiKind::Address)] {
        Scanner::new(kinds).scan_rows(&rows, |row, _| panic!("row {row} holds nothing whole"));
    }
}

#[test]
fn a_key_behind_half_a_prefix_in_the_row_before_is_found() {
    let rows = StringArray::from(vec!["AKI", "AKIAIOSFODNN7EXAMPLE"]);
    let mut seen = Vec::new();
    Scanner::new(PiiKinds::from_iter([PiiKind::AwsAccessKey]))
        .scan_rows(&rows, |row, found| seen.push((row, found.len())));
    assert_eq!(seen, [(1, 1)]);
}

#[test]
fn a_null_row_is_nothing_whatever_its_bytes() {
    use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 9, 18]));
    let nulls = NullBuffer::from(vec![false, true]);
    let rows = StringArray::new(offsets, arrow::buffer::Buffer::from_slice_ref(b"ana@x.combia@x.com"), Some(nulls));
    let mut seen = Vec::new();
    Scanner::default().scan_rows(&rows, |row, found| seen.push((row, found.len())));
    assert_eq!(seen, [(1, 1)]);
}
