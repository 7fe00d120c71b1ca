//! The batch path: CSV exports.

use lakebed_ingest::engine::{Encoding, EngineError, Format};

use crate::bench::{Bench, rows, rules};

const BREWERY: [&str; 5] = ["brewery_id", "brewery_name", "city", "state", "_absent"];

fn check(text: &str, expected_rows: &str, expected_rules: &str) {
    let run = Bench::csv("brewery").run(text.as_bytes()).expect("readable");
    assert_eq!(rows(&run.bronze, &BREWERY), expected_rows, "{text:?}");
    assert_eq!(rules(&run), expected_rules, "{text:?}");
}

#[test]
fn fields_are_read_as_postgres_writes_them() {
    check("brewery_id,brewery_name,city,state\n1,A,X,Y\n", "1|A|X|Y|∅\n", "");
    check("brewery_id,brewery_name,city,state\n1,\"\",,\"\"\n", "1||∅||∅\n", "");
    check("state,city,brewery_name,brewery_id\r\nY,X,A,1", "1|A|X|Y|∅\n", "");
    check("\u{feff}brewery_id,brewery_name,city,state\n1,A,X,Y\n", "1|A|X|Y|∅\n", "");
    check("brewery_id,brewery_name,city,state\n1,\"a\n\"\"b\"\", c\",X,Y\n", "1|a\n\"b\", c|X|Y|∅\n", "");
    check("brewery_id,brewery_name,city,state\n1,nu\0l,X,Y\n", "1|nu\0l|X|Y|∅\n", "");
    check("brewery_id,brewery_name,city,state\n", "", "");
    check("", "", "");
}

#[test]
fn bad_rows_are_quarantined_and_the_rest_is_kept() {
    check(
        "brewery_id,brewery_name,city,state\n1,A,X\n2,B,X,Y\n3,C,X,Y,Z\n",
        "2|B|X|Y|∅\n",
        "1:field-count 3:field-count",
    );
    check("brewery_id,brewery_name,city,state\nx,A,X,Y\n2,B,X,Y\n", "2|B|X|Y|∅\n", "1:type");
    check("brewery_id,brewery_name,city,state\n,A,X,Y\n2,,X,Y\n3,C,X,Y\n", "3|C|X|Y|∅\n", "1:missing-key 2:null");
    check("brewery_id,brewery_name,city,state\n1,\"A\"x,X,Y\n2,B,X,Y\n", "2|B|X|Y|∅\n", "1:csv-syntax");
    check("brewery_id,brewery_name,city,state\n2,B,X,Y\n1,\"A,X,Y\n", "2|B|X|Y|∅\n", "2:csv-syntax");
}

#[test]
fn headers_may_lack_optional_columns_and_have_others() {
    check("brewery_id,brewery_name\n1,A\n", "1|A|∅|∅|city,state\n", "");
    check("brewery_id,city,state\n1,X,Y\n2,X,Y\n", "", "1:missing-column 2:missing-column");
    let run = Bench::csv("brewery").run(b"brewery_id,brewery_name,note\n1,A,n\n2,B,n\n").expect("readable");
    assert_eq!((run.outcome.rows_good, run.outcome.extra_values), (2, 2));
    let run = Bench::csv("brewery").run(b"brewery_id,brewery_name,note\nx,A,n\n2,B,n\n3,,n\n").expect("readable");
    assert_eq!((run.outcome.rows_good, run.outcome.extra_values), (1, 1), "bad rows ignore no values");
    let twice = Bench::csv("brewery").run(b"brewery_id,brewery_id\n1,2\n").expect_err("ambiguous");
    assert!(matches!(&twice, EngineError::Unreadable { reason } if reason.contains("twice")), "{twice}");
}

#[test]
fn rows_count_as_the_load_of_their_generation() {
    let run = Bench::csv("brewery").run(b"brewery_id,brewery_name\n1,A\n").expect("readable");
    let shown = rows(
        &run.bronze,
        &["_operation", "_generation", "_commit_lsn", "_ordinal", "_commit_timestamp", "_old_brewery_id"],
    );
    assert_eq!(shown, "load|2|0|0|1970-01-01T00:00:01.000000Z|∅\n");
}

#[test]
fn values_of_every_type_are_exact() {
    let header = "id,n,d,f,b,s,day,at";
    let good = "9007199254740993,-5,12345678.90,2.5,t,\"\",2018-01-02,2010-11-01 00:02:00.1+00";
    let run = Bench::csv("kinds").run(format!("{header}\n{good}\n").as_bytes()).expect("readable");
    let columns: Vec<&str> = header.split(',').collect();
    assert_eq!(
        rows(&run.bronze, &columns),
        "9007199254740993|-5|12345678.90|2.5|true||2018-01-02|2010-11-01T00:02:00.100000Z\n"
    );
    for (bad, rule) in [
        ("1.5,,,,,,,", "type"),
        ("9223372036854775808,,,,,,,", "type"),
        ("1,2147483648,,,,,,", "type"),
        ("1,,123456789.00,,,,,", "type"),
        ("1,,0.001,,,,,", "type"),
        ("1,,NaN,,,,,", "type"),
        ("1,,,,yes,,,", "type"),
        ("1,,,,,,2018-02-30,", "type"),
        ("1,,,,,,,2010-11-01", "type"),
        ("1,\"\",,,,,,", "type"),
    ] {
        let run = Bench::csv("kinds").run(format!("{header}\n{bad}\n{good}\n").as_bytes()).expect("readable");
        assert_eq!((rules(&run), run.outcome.rows_good), (format!("1:{rule}"), 1), "{bad}");
    }
}

#[test]
fn text_that_is_not_utf_8_costs_its_row_unless_the_encoding_is_known() {
    let bytes = b"brewery_id,brewery_name\n1,K\xf6ln\n2,Bonn\n";
    let run = Bench::csv("brewery").run(bytes).expect("readable");
    assert_eq!((rules(&run).as_str(), run.outcome.rows_good), ("1:encoding", 1));
    let mut bench = Bench::csv("brewery");
    if let Format::Csv(format) = &mut bench.format {
        format.encoding = Encoding::Latin1;
    }
    let run = bench.run(bytes).expect("readable");
    assert_eq!(rows(&run.bronze, &["brewery_name"]), "Köln\nBonn\n");
}
