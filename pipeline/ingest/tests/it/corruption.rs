//! Good objects, corrupted at random: whatever comes of them, rows are conserved (I5) and no planted value leaves `raw/` (I8).
//!
//! Corruption hits the text (flipped bits, cuts, pieces copied elsewhere, columns in another order, huge fields, headers in the
//! middle, quotes, NULs) and the compressed bytes (flipped bits, cuts, members out of order, garbage between them); see [`case`].
//! Everything else that any object is held to stands in [`crate::check`].

mod case;

use std::cell::RefCell;
use std::collections::BTreeMap;

use lakebed_contract::TableContract;
use lakebed_ingest::engine::{Compression, CsvFormat, Format};
use memchr::memmem;

use self::case::{Case, Damage, PLANTED, ROWS, case};
use crate::bench::{all_text, beer_table};
use crate::check::{Check, runner};

/// A planted value that stands as it was planted: one that letters or digits were put against is another value.
fn planted_in(bytes: &[u8]) -> Option<&'static str> {
    let stands_alone = |planted: &str| {
        memmem::find_iter(bytes, planted).any(|at| {
            let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            !is_word(bytes[..at].last()) && !is_word(bytes.get(at + planted.len()))
        })
    };
    PLANTED.into_iter().find(|planted| stands_alone(planted))
}

#[test]
fn no_corruption_loses_a_row_or_publishes_a_value() {
    let seen: RefCell<BTreeMap<&str, u32>> = RefCell::default();
    let count = |what: &'static str| *seen.borrow_mut().entry(what).or_default() += 1;
    let ran = runner(500).run(&case(), |case| {
        let object = case.object();
        case.corruptions.iter().for_each(|corruption| count(corruption.name()));
        count(case.damage.name());
        let run = match case.check().run(&object, case.compression) {
            Err(reason) => {
                assert_eq!(planted_in(reason.as_bytes()), None, "in the reason");
                assert!(!case.is_whole(), "{reason}");
                count("refused");
                return Ok(());
            }
            Ok(run) => run,
        };
        for file in [&run.bronze, &run.quarantine] {
            assert_eq!(planted_in(file), None, "in the file's bytes");
            assert_eq!(planted_in(all_text(file).as_bytes()), None, "in the file's values");
        }
        if case.is_whole() {
            assert_eq!((run.outcome.rows_good, run.outcome.rows_bad), (ROWS as u64, 0));
        }
        count(if run.outcome.rows_bad > 0 { "some rows bad" } else { "all rows good" });
        if run.outcome.rows_good > 0 {
            count("some rows good");
        }
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
    // Corruption that only ever ends at the first door, or never does harm, would prove nothing.
    let seen = seen.into_inner();
    eprintln!("{seen:?}");
    let at_least =
        |what: &str, count: u32| assert!(seen.get(what).is_some_and(|seen| *seen >= count), "{what}: {seen:?}");
    ["refused", "some rows bad", "all rows good", "some rows good"].iter().for_each(|what| at_least(what, 50));
    ["flip bit", "truncate", "copy", "cut", "huge field", "repeat header", "quotes", "NUL"]
        .iter()
        .for_each(|what| at_least(what, 30));
    ["members", "member lost", "member twice", "garbage", "compressed bit", "compressed cut"]
        .iter()
        .for_each(|what| at_least(what, 15));
}

/// A good `.csv`, two of whose columns have each other's name.
fn good_csv(table: &'static str, swap: Option<(usize, usize)>) -> Case {
    let order = (0..11).collect();
    let (corruptions, damage) = (Vec::new(), Damage::None);
    Case { table, is_csv: true, compression: Compression::Plain, order, swap, corruptions, damage }
}

/// The search itself: raw objects are full of what must not be found afterwards, and without masking it is found.
#[test]
fn planted_values_are_found_where_they_are() {
    for (table, planted) in [("profile", PLANTED.len()), ("review", 6)] {
        let case = good_csv(table, None);
        let text = case.text();
        let found = PLANTED.iter().filter(|planted| memmem::find(&text, planted.as_bytes()).is_some()).count();
        assert_eq!(found, planted);
        let mut bare = beer_table(table);
        bare.columns.iter_mut().for_each(|column| column.class = None);
        let run = Check::new(bare, Format::Csv(CsvFormat::default())).run(&text, Compression::Plain).expect("readable");
        assert!(planted_in(all_text(&run.bronze).as_bytes()).is_some());
    }
}

/// Columns without a class are published as they are. A header that calls the e-mail addresses `city`, or whatever else puts
/// personal data under a public column's name, is found out by the values: the object is refused.
#[test]
fn a_header_that_gives_a_public_name_to_personal_data_is_not_believed() {
    let text = |people: u32| {
        let row = |n: u32| format!("{},hopfan{n},Köln,Ana Lima,,,,ana{}@example.com,SP,01310-100\n", n + 1, n % people);
        let header = "profile_id,profile_name,email,full_name,phone,cpf,birth_date,city,state,postal_code\n";
        header.to_owned() + &(0..500).map(row).collect::<String>()
    };
    let check = |table: TableContract, people: u32| {
        Check::new(table, Format::Csv(CsvFormat::default())).run(text(people).as_bytes(), Compression::Plain)
    };
    let reason = check(beer_table("profile"), 20).expect_err("refused");
    let begins =
        "column `city` holds values of class email (100 % of 20 different values in 500 rows from row 1), which";
    assert!(reason.starts_with(begins) && reason.contains("`keep`"), "{reason}");
    assert!(!reason.contains("example.com"), "no value in the reason: {reason}");
    // Known gap: a handful of values proves nothing.
    let run = check(beer_table("profile"), 19).expect("too few to tell");
    assert!(all_text(&run.bronze).contains("ana7@example.com"));
    // With a class it is masked.
    let mut classed = beer_table("profile");
    classed
        .columns
        .iter_mut()
        .filter(|column| column.name == "city")
        .for_each(|city| city.class = Some("email".into()));
    let run = check(classed, 20).expect("masked");
    assert!(!all_text(&run.bronze).contains("example.com"));
}
