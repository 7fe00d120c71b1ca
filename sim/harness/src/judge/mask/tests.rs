//! The judge's mask on values whose outcome is known, and on others beside the pipeline's own.

use std::sync::Arc;

use super::*;
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::record_batch::RecordBatch;
use lakebed_contract::Lake;
use lakebed_mask::{MaskKey, Masker};

fn master() -> Secret<[u8; 32]> {
    Secret::new(std::array::from_fn(|at| at as u8))
}

fn planted(class: &str, value: &str, in_text: bool) -> Planted {
    Planted { class: class.to_owned(), value: value.to_owned(), in_text }
}

fn mask(planted: &[Planted]) -> Mask {
    Mask::new(&master(), 1, planted).expect("patterns build")
}

#[test]
fn redaction_replaces_planted_values_longest_first_and_nothing_else() {
    let mask = mask(&[
        planted("EMAIL", "b@x.com", true),
        planted("EMAIL", "ab@x.com.br", true),
        planted("EMAIL", "ab@x.com", true),
        planted("CPF", "529.982.247-25", true),
        planted("PHONE", "(11) 98765-4321", true),
        planted("NAME", "Ana Lima", true),
        planted("EMAIL", "profile@x.com", false),
    ]);
    let text = "Ana Lima: ab@x.com.br, ab@x.com b@x.com!\n529.982.247-25/(11) 98765-4321 profile@x.com ção";
    assert_eq!(mask.redacted(text), "Ana Lima: [EMAIL], [EMAIL] [EMAIL]!\n[CPF]/[PHONE] profile@x.com ção");
}

#[test]
fn other_transforms_are_exact() {
    let mask = mask(&[]);
    let is = |steps: Vec<Step>, cell: Cell<'_>, expected: Cell<'_>| {
        assert_eq!(mask.fingerprint(&Expectation(steps), cell), expected.fingerprint(), "{cell:?}");
    };
    is(vec![Step::Prefix(3)], Cell::Text("çã1-2"), Cell::Text("çã1"));
    is(vec![Step::Prefix(3)], Cell::Text("ab"), Cell::Text("ab"));
    is(vec![Step::Nothing], Cell::Text("x"), Cell::Null);
    is(vec![Step::Redacted], Cell::Null, Cell::Null);
    is(vec![], Cell::Int(7), Cell::Int(7));
    is(vec![Step::Prefix(3), Step::Nothing], Cell::Text("abc"), Cell::Null);
    is(vec![Step::Prefix(3), Step::Prefix(2)], Cell::Text("abcd"), Cell::Text("ab"));
}

#[test]
fn dates_and_instants_begin_with_their_year_month_day_or_band() {
    let begins = |coarse: Coarse, cell: Cell<'_>, expected: Cell<'_>| {
        assert_eq!(coarse.beginning(cell), expected, "{coarse:?} {cell:?}");
    };
    begins(Coarse::Year, Cell::Date(-1), Cell::Date(-365));
    begins(Coarse::Year, Cell::Date(365 + 40), Cell::Date(365));
    begins(Coarse::Month, Cell::Date(40), Cell::Date(31));
    // 1994-12-31, 1995-01-01
    begins(Coarse::Band(5), Cell::Date(9_130), Cell::Date(7_305));
    begins(Coarse::Band(5), Cell::Date(9_131), Cell::Date(9_131));
    // -0001-07-01 is in the band that begins with year -10.
    begins(Coarse::Band(10), Cell::Date(-719_712), Cell::Date(-723_180));
    const DAY: i64 = 86_400_000_000;
    begins(Coarse::Day, Cell::Instant(-1), Cell::Instant(-DAY));
    begins(Coarse::Month, Cell::Instant(40 * DAY + 1), Cell::Instant(31 * DAY));
    begins(Coarse::Year, Cell::Instant(-1), Cell::Instant(-365 * DAY));
    begins(Coarse::Year, Cell::Null, Cell::Null);
    begins(Coarse::Year, Cell::Date(i32::MAX), Cell::Date(i32::MAX));
}

#[test]
fn both_layers_of_the_policy_are_worked_out() {
    let policy = "version: 1\nclasses:\n  birth: {bronze: month, silver: 'band:5y'}\n  seen: {bronze: day}\n  \
        code: {bronze: token, silver: 'prefix:6'}\n  gone: {bronze: keep, silver: drop}\n  phone: {bronze: partial}\n  card: {bronze: 'fpe:credit_card', silver: 'prefix:7'}\n";
    let policy = Policy::from_yaml(policy).expect("a policy");
    let lake = Lake::beer();
    let mut column = lake.tables[0].columns[0].clone();
    let mask = mask(&[]);
    let mut expectation = |class: &str, of: ColumnType| {
        (column.class, column.column_type) = (Some(class.to_owned()), of);
        mask.expectation(&column, &policy)
    };
    let mut is = |class: &str, of: ColumnType, cell: Cell<'_>, expected: Cell<'_>| {
        let expectation = expectation(class, of).expect(class);
        assert_eq!(mask.fingerprint(&expectation, cell), expected.fingerprint(), "{class}");
    };
    is("birth", ColumnType::Date, Cell::Date(9_130), Cell::Date(7_305));
    is("seen", ColumnType::Timestamptz, Cell::Instant(-1), Cell::Instant(-86_400_000_000));
    is("code", ColumnType::Text, Cell::Text("x"), Cell::Text("tok_1_"));
    is("phone", ColumnType::Text, Cell::Text("11 91234-5678"), Cell::Text("****5678"));
    is("gone", ColumnType::Bigint, Cell::Int(7), Cell::Null);
    is("card", ColumnType::Text, Cell::Text("4111 1111 1111 1111"), Cell::Text("4111 11"));
    let refused = expectation("card", ColumnType::Date).err().expect("not worked out");
    assert!(refused.contains("does not work out `fpe`"), "{refused}");
}

fn cell(text: Option<&str>) -> Cell<'_> {
    text.map_or(Cell::Null, Cell::Text)
}

/// What the pipeline makes of a column of the class, once the judge has said the same of each value.
fn masked_by_both(class: &str, word: &str, values: &[Option<&str>]) -> Vec<Option<String>> {
    let policy = format!("version: 1\nclasses: {{{class}: {{bronze: '{word}'}}}}\n");
    let policy = Policy::from_yaml(&policy).expect("a policy");
    let mut table = Lake::beer().tables[0].clone();
    table.columns.truncate(1);
    let column = &mut table.columns[0];
    (column.class, column.column_type, column.is_key) = (Some(class.to_owned()), ColumnType::Text, false);
    let texts: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
    let raw = RecordBatch::try_from_iter_with_nullable([(&table.columns[0].name, texts, true)]).expect("a batch");
    let masker = Masker::new(MaskKey::new(1, *master().expose())).for_table(&table, &policy).expect("a plan");
    let masked = masker.mask(raw).expect("masked");
    let column = masked.batch().column(0).as_string::<i32>();
    let masked: Vec<_> = column.iter().map(|value| value.map(str::to_owned)).collect();
    let mask = mask(&[]);
    let expectation = mask.expectation(&table.columns[0], &policy).expect("worked out");
    for (value, masked) in values.iter().zip(&masked) {
        let expected = mask.fingerprint(&expectation, cell(*value));
        assert_eq!(expected, cell(masked.as_deref()).fingerprint(), "{class} {value:?}: the pipeline gave {masked:?}");
    }
    masked
}

/// `shaped` are encrypted, `others` become tokens; each outcome is a value of the class again, and is encrypted in its turn.
fn encrypts(class: &str, word: &str, shaped: &[&str], others: &[&str]) {
    const TURNS: usize = 40;
    let mut values: Vec<Option<String>> = shaped.iter().map(|value| Some((*value).to_owned())).collect();
    values.push(None);
    for _ in 0..TURNS {
        let texts: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
        values = masked_by_both(class, word, &texts);
        assert!(values.iter().flatten().all(|value| !value.starts_with("tok_")), "{class}: {values:?}");
    }
    let texts: Vec<Option<&str>> = others.iter().copied().chain(["", " ", "n/a", "٥٢٩٩٨٢٢٤٧٢٥"]).map(Some).collect();
    let tokens = masked_by_both(class, word, &texts);
    assert!(tokens.iter().flatten().all(|token| token.starts_with("tok_1_")), "{class}: {tokens:?}");
}

#[test]
fn judge_and_pipeline_encrypt_alike() {
    encrypts(
        "cpf",
        "fpe",
        &["529.982.247-25", "52998224725", " 529 982 247/25", "111.444.777-35"],
        &["529.982.247-26", "111.111.111-11", "5299822472", "529.982.247-25x", "529_982_247_25", "529.982.247-2A"],
    );
    encrypts(
        "cnpj",
        "fpe",
        &["11.222.333/0001-81", "11222333000181", "12.abc.345/01DE-35"],
        &["11.222.333/0001-82", "12.ABC.345/01DE-36", "00.000.000/0000-00", "12ABC34501DE3X", "1122233300018"],
    );
    encrypts(
        "card",
        "fpe:credit_card",
        &["4111 1111 1111 1111", "378282246310005", "4222222222222", "0000000000000000000"],
        &["4111 1111 1111 1112", "411111111111", "4111,1111,1111,1111", "41111111111111111111"],
    );
    encrypts(
        "postal_code",
        "fpe",
        &["01310-100", "01310100", "94103-1234", "00501-0001"],
        &["00999-999", "94103", "SW1A 1AA", "01310-10O"],
    );
    encrypts("ssn", "fpe:digits:9", &["123-45-6789", "000000000"], &["12345678", "1234567890"]);
    encrypts("short", "fpe:digits:6", &["123456", "0-0-0-0-0-1"], &["12345"]);
    encrypts("long", "fpe:digits:19", &["1234567890123456789"], &["123456789012345678"]);
}

#[test]
fn judge_and_pipeline_encrypt_phone_numbers_of_all_countries_alike() {
    encrypts(
        "phone",
        "fpe",
        &[
            "+55 (11) 91234-5678",
            "55 11 3234-5678",
            "(11) 3234-5678",
            "11 91234-5678",
            "19 91234-5678",
            "+19 91234-5678",
            "+1 212-555-0143",
            "1 (212) 155-0143",
            "(212) 555-0143",
            "212.055.0143",
            "+2125550143",
            "91234-5678",
            "3234-5678",
            "+46 123456",
            "+46 1234567",
            "+351 912 345 678",
            "49 1512 3456789",
            " +49 1512 3456 7890",
            "123456789012345",
        ],
        &["1234567", "+1234567", "1234567890123456", "+55 (11) 91234-5678 r. 2", "\t11 91234-5678"],
    );
}
