//! CSV files with their own header: the sample that ships, and the real BeerAdvocate one where this machine has it.

use std::path::Path;

use lakebed_ingest::engine::Format;
use lakebed_ingest::mapping::Mapping;

use crate::bench::{Bench, Run, beer_table, rows, rules};

const MAPPING: &str = include_str!("../../../beer/mappings/beeradvocate.toml");
const SAMPLE: &[u8] = include_bytes!("../../../beer/samples/reviews.latin1.csv");

fn ingest(table: &str, bytes: &[u8]) -> Run {
    let mapping = Mapping::parse(MAPPING).expect("valid");
    let format = Format::Csv(mapping.csv_format(&beer_table(table)).expect("fits"));
    Bench { format, ..Bench::csv(table) }.run(bytes).expect("readable")
}

#[test]
fn the_shipped_sample_fills_all_four_tables() {
    let review = ingest("review", SAMPLE);
    assert_eq!((review.outcome.rows_in, review.outcome.rows_good, review.outcome.rows_bad), (40, 37, 3));
    assert_eq!(rules(&review), "13:type 22:null 31:field-count");
    let first = rows(&review.bronze, &["review_id", "beer_id", "review_overall", "review_time", "comment", "_absent"]);
    assert_eq!(first.lines().next(), Some("1|80006|4.0|2009-01-27T23:03:37.000000Z|∅|∅"));

    let beer = ingest("beer", SAMPLE);
    assert_eq!(rules(&beer), "22:missing-key 31:field-count");
    let beers = rows(&beer.bronze, &["beer_style", "beer_abv"]);
    assert!(beers.contains("Kölsch|4.8\n") && beers.contains("Oatmeal Stout|∅\n"), "{beers}");
    assert!(
        rows(&ingest("brewery", SAMPLE).bronze, &["brewery_name", "state"])
            .contains("\"The Crooked Tap\" Brewing Co.|∅\n")
    );

    let profiles = rows(&ingest("profile", SAMPLE).bronze, &["profile_id", "profile_name", "email"]);
    assert!(profiles.contains("|émilie75|∅\n") && profiles.contains("|barley, the 2nd|∅\n"), "{profiles}");
    let reviewers = rows(&review.bronze, &["profile_id"]);
    let id = profiles.lines().next().and_then(|line| line.split('|').next()).expect("a profile");
    assert_eq!(reviewers.lines().next(), Some(id), "a natural key gives one number in both tables");
}

#[test]
fn the_real_sample_is_accounted_for_row_by_row() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/beeradvocate_sample.latin1.csv");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("SKIPPED: the real sample is not on this machine ({})", path.display());
        return;
    };
    // Two rows have no profile name: NA, without which a review belongs to nobody.
    for (table, bad) in [("review", 2), ("beer", 0), ("brewery", 0), ("profile", 2)] {
        let run = ingest(table, &bytes);
        assert_eq!(
            (run.outcome.rows_in, run.outcome.rows_good, run.outcome.rows_bad),
            (6_627, 6_627 - bad, bad),
            "{table}"
        );
    }
    let beers = rows(&ingest("beer", &bytes).bronze, &["beer_style", "beer_abv"]);
    assert!(beers.contains("Kölsch|5.7\n"));
    assert_eq!(beers.lines().filter(|line| line.ends_with("|∅")).count(), 38);
    let breweries = rows(&ingest("brewery", &bytes).bronze, &["brewery_name"]);
    assert!(breweries.contains("Cervecería Cuauhtémoc Moctezuma, S.A. de C.V.\n"));
}
