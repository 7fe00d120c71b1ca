//! What a load leaves in the tables.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lakebed_contract::{EventSink, Lake, RunEvent, Seed};
use lakebed_source::{SourceError, connect, create_schema, load};

use crate::shared::{SCALE, beer_database, digests, empty_database, number};

#[tokio::test]
async fn a_load_repeats_with_the_seed_and_tells_its_keys() {
    let (_, first, truth) = beer_database(7).await;
    let (_, second, again) = beer_database(7).await;
    let (_, other, _) = beer_database(8).await;
    assert_eq!(digests(&first).await, digests(&second).await);
    assert!(truth == again, "the truths differ");
    assert_ne!(digests(&first).await, digests(&other).await);
    for (table, keys) in &truth.keys_ever {
        let rows = first.query(&format!("SELECT {table}_id FROM dm_core.{table}"), &[]).await.expect("answers");
        let live: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(*keys, live, "{table}");
    }
}

#[tokio::test]
async fn planted_values_stand_in_the_tables_as_recorded() {
    let (_, client, truth) = beer_database(9).await;
    let column = |class: &str| match class {
        "EMAIL" => "email",
        "NAME" => "full_name",
        "PHONE" => "phone",
        _ => "cpf",
    };
    assert!(truth.planted.iter().filter(|planted| planted.in_text).count() > 10);
    for planted in &truth.planted {
        let query = if planted.in_text {
            "SELECT count(*) FROM dm_core.review WHERE position($1 in comment) > 0".to_owned()
        } else {
            format!("SELECT count(*) FROM dm_core.profile WHERE {} = $1", column(&planted.class))
        };
        let found: i64 = client.query_one(&query, &[&planted.value]).await.expect("answers").get(0);
        assert!(found > 0, "a planted {} is missing", planted.class);
    }
    // The truth is complete: no address, and no number of eleven digits, that it does not list.
    let listed =
        |class: &str| truth.planted.iter().filter(|planted| planted.in_text && planted.class == class).count() as i64;
    let addresses =
        "SELECT coalesce(sum(length(comment) - length(replace(comment, '@', ''))), 0)::bigint FROM dm_core.review";
    assert_eq!(number(&client, addresses).await, listed("EMAIL"));
    let numbers = "SELECT count(*) FROM dm_core.review WHERE comment ~ '[0-9]{3}[.]?[0-9]{3}[.]?[0-9]{3}-?[0-9]{2}'";
    assert_eq!(number(&client, numbers).await, listed("CPF"));
}

#[tokio::test]
async fn the_data_hold_what_pipelines_stumble_over() {
    let (_, client, _) = beer_database(10).await;
    for condition in [
        "comment IS NULL",
        "comment = ''",
        "comment LIKE '%\"%'",
        "position(E'\\n' in comment) > 0",
        "position('\\' in comment) > 0",
        "octet_length(comment) > 8192 AND pg_column_size(comment) > 4096",
        "octet_length(comment) > char_length(comment)",
    ] {
        let query = format!("SELECT count(*) FROM dm_core.review WHERE {condition}");
        assert!(number(&client, &query).await > 0, "no review with {condition}");
    }
    let toast = "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = 'dm_core.review'::regclass";
    assert!(number(&client, toast).await > 0);
    assert!(number(&client, "SELECT count(*) FROM dm_core.beer WHERE beer_abv IS NULL").await > 0);
    assert_eq!(number(&client, "SELECT count(*) - count(DISTINCT email) FROM dm_core.profile").await, 0);
    let months =
        "SELECT count(DISTINCT date_trunc('month', review_time)) - least(60, count(*) / 250) FROM dm_core.review";
    assert_eq!(number(&client, months).await, 0, "a month for 250 reviews");
    let fractions = "SELECT count(*) FROM dm_core.review WHERE review_time <> date_trunc('milliseconds', review_time)";
    assert!(number(&client, fractions).await > 3_000);
}

#[tokio::test]
async fn a_load_reports_its_rows_and_refuses_tables_that_hold_some() {
    let endpoint = empty_database().await;
    let (client, lake) = (connect(&endpoint).await.expect("connects"), Lake::beer());
    create_schema(&client, &lake).await.expect("creates");
    create_schema(&client, &lake).await.expect("is idempotent");
    let seen = Arc::new(Mutex::new(0));
    let events = EventSink::new({
        let seen = Arc::clone(&seen);
        move |event| {
            if let RunEvent::Progress { table, rows, .. } = event
                && table == "review"
            {
                *seen.lock().expect("not poisoned") += rows;
            }
        }
    });
    load(&endpoint, &lake, SCALE, Seed(1), &events).await.expect("loads");
    assert_eq!(*seen.lock().expect("not poisoned"), 3_173);
    let refused = load(&endpoint, &lake, SCALE, Seed(1), &events).await.expect_err("holds rows");
    assert!(matches!(refused, SourceError::NotEmpty { ref table } if table == "brewery"), "{refused}");
}

#[tokio::test]
async fn errors_do_not_quote_rows() {
    let (_, client, _) = beer_database(12).await;
    let error = client
        .batch_execute("INSERT INTO dm_core.brewery VALUES (1, 'somebody@secret.example', NULL, NULL)")
        .await
        .expect_err("the key exists");
    let shown = lakebed_source::DatabaseError::from(error).to_string();
    assert_eq!(shown, "SQLSTATE 23505, table `brewery`, constraint `brewery_pkey`");
    let error = client.batch_execute("SELECT 'somebody@secret.example'::bigint").await.expect_err("no number");
    let shown = lakebed_source::DatabaseError::from(error).to_string();
    assert_eq!(shown, "SQLSTATE 22P02");
}
