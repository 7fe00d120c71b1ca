//! Compressed raw objects, whole and damaged: what can be read to its end becomes bronze; of anything else nothing is
//! published.
//!
//! Most damage comes late, after the ingestor has written rows to its spool: that is where a worker that publishes as
//! it goes would be caught.

use lakebed_contract::handler::{BRONZE_LITE, BRONZE_MASS, ROW_PROBE};
use lakebed_contract::layout;
use serde_json::json;

use crate::support::{Stores, beer_csv, gzip};

#[tokio::test]
async fn gzip_that_can_be_read_to_its_end_is_ingested() {
    let text = beer_csv(20);
    let (head, tail) = text.as_bytes().split_at(text.len() / 2);
    let mut stores = Stores::start().await;
    for (name, body) in [
        ("one-member", gzip(text.as_bytes())),
        ("members-cut-inside-a-row", [gzip(head), gzip(tail)].concat()),
        ("an-empty-member-between", [gzip(head), gzip(b""), gzip(tail)].concat()),
        ("zero-padding", [gzip(text.as_bytes()), vec![0; 700]].concat()),
    ] {
        let object = stores.receive(&format!("raw/beer/{name}.csv.gz"), &body).await;
        let probed = stores.call(ROW_PROBE, &object.input).await.expect("counted");
        assert_eq!(probed, json!({"rows": 20, "capped": false}), "{name}");
        let result = stores.call(BRONZE_LITE, &object.input).await.expect("ingested");
        let counts = [&result["rows_in"], &result["rows_good"], &result["rows_bad"]];
        assert_eq!((&result["status"], counts), (&json!("BRONZE_DONE"), [&json!(20), &json!(18), &json!(2)]), "{name}");
        let digest = layout::object_digest(&object.pk);
        let published = stores.published().await.into_iter().filter(|key| key.contains(&digest)).count();
        assert_eq!(published, 2, "bronze and quarantine of {name}");
    }
    assert_eq!(stores.left_in_scratch(), Vec::<std::path::PathBuf>::new());
    stores.stop().await;
}

#[tokio::test]
async fn damaged_gzip_is_quarantined_and_publishes_nothing() {
    let text = beer_csv(16_384);
    let whole = gzip(text.as_bytes());
    // A gzip member ends with four bytes of CRC-32 and four of length.
    let flipped = |from_end: usize| {
        let mut bytes = whole.clone();
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        ("cut-in-the-data.csv.gz", whole[..whole.len() - 100].to_vec(), "ends too early"),
        ("cut-in-the-trailer.csv.gz", whole[..whole.len() - 1].to_vec(), "ends too early"),
        ("second-member-cut.csv.gz", [&whole[..], &gzip(b"1,A,B,4.5,1\n")[..12]].concat(), "ends too early"),
        ("bad-crc.csv.gz", flipped(8), "checksum"),
        ("bad-length.csv.gz", flipped(4), "checksum"),
        ("text-behind.csv.gz", [&whole[..], b"more"].concat(), "other bytes follow"),
        ("text-behind-padding.csv.gz", [&whole[..], &[0; 9], b"more"].concat(), "other bytes follow"),
        ("plain-text.csv.gz", text.as_bytes().to_vec(), "not gzip"),
        ("plain-text.json.gz", b"{}\n".to_vec(), "not gzip"),
    ];
    let mut stores = Stores::start().await;
    for (name, body, reason) in cases {
        let object = stores.receive(&format!("raw/beer/{name}"), &body).await;
        stores.call(ROW_PROBE, &object.input).await.expect("the probe leaves the verdict to the ingestor");
        let result = stores.call(BRONZE_LITE, &object.input).await.expect("a verdict, not an error");
        let expected = json!({
            "pk": object.pk, "status": "QUARANTINED", "outputs": [],
            "rows_in": 0, "rows_good": 0, "rows_bad": 0, "rows_dropped": 0,
        });
        assert_eq!(result, expected, "{name}");
        let again = stores.call(BRONZE_MASS, &object.input).await.expect("the same verdict");
        assert_eq!(again, expected, "{name} for the second time");
        let error = stores.record(&object.pk).await.error;
        assert!(error.contains(reason), "{name}: {error}");
        assert_eq!(stores.published().await, Vec::<String>::new(), "{name}");
    }
    assert_eq!(stores.left_in_scratch(), Vec::<std::path::PathBuf>::new());
    stores.stop().await;
}
