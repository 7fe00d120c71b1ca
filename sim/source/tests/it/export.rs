//! The batch path: an export sees its snapshot, whatever happens meanwhile.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use lakebed_contract::{Endpoints, EventSink, Lake};
use lakebed_source::{SourceError, connect, export_table};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::shared::{beer_database, number};

type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// An object store that knows PUT.
async fn store() -> (aws_sdk_s3::Client, Objects) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let endpoints = Endpoints::embedded(listener.local_addr().expect("bound").port());
    let objects = Objects::default();
    let kept = Arc::clone(&objects);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&kept)));
        }
    });
    let config = aws_sdk_s3::config::Builder::from(&endpoints.sdk_config(&endpoints.s3_url))
        .force_path_style(true)
        .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
        .build();
    (aws_sdk_s3::Client::from_conf(config), objects)
}

async fn serve(stream: TcpStream, objects: Objects) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while stream.read_line(&mut head).await.is_ok_and(|read| read > 0) {
        if !head.ends_with("\r\n\r\n") {
            continue;
        }
        let length = head
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.expect("a whole body");
        let path = head.split([' ', '?']).nth(1).expect("a request line").to_owned();
        objects.lock().expect("not poisoned").insert(path, body);
        stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n").await.expect("answers");
        head.clear();
    }
}

#[tokio::test]
async fn an_export_holds_exactly_the_rows_of_its_snapshot() {
    let (endpoint, client, truth) = beer_database(31).await;
    let lake = Lake::beer();
    let review = lake.table("review").expect("the beer lake has reviews");
    let (s3, objects) = store().await;

    let holder = connect(&endpoint).await.expect("connects");
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("begins");
    let snapshot: String = holder.query_one("SELECT pg_export_snapshot()", &[]).await.expect("exports").get(0);
    let null = number(&client, "SELECT count(*) FROM dm_core.review WHERE comment IS NULL").await;
    let empty = number(&client, "SELECT count(*) FROM dm_core.review WHERE comment = ''").await;
    client.batch_execute("DELETE FROM dm_core.review WHERE review_id % 2 = 0").await.expect("deletes");

    let report = export_table(&endpoint, &snapshot, review, 1, &s3, &EventSink::default()).await.expect("exports");
    let again = export_table(&endpoint, &snapshot, review, 2, &s3, &EventSink::default()).await.expect("exports");
    assert_eq!(report.rows, truth.keys_ever["review"].len() as u64);
    assert_eq!(report.key, "raw/review/generation=1/review-full.csv.gz");
    let objects = objects.lock().expect("not poisoned");
    let object = &objects[&format!("/dm-stage/{}", report.key).replace('=', "%3D")];
    assert_eq!(*object, objects[&format!("/dm-stage/{}", again.key).replace('=', "%3D")], "same snapshot, same bytes");
    assert_eq!(report.bytes, object.len() as u64);
    assert_eq!(&object[4..8], [0; 4], "no time in the gzip header");

    let mut csv = String::new();
    flate2::read::GzDecoder::new(object.as_slice()).read_to_string(&mut csv).expect("gunzips");
    assert_eq!(report.csv_bytes, csv.len() as u64);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let keys: Vec<i64> = reader.records().map(|row| row.expect("a row")[0].parse().expect("a key")).collect();
    assert!(keys.iter().copied().eq(truth.keys_ever["review"].iter().copied()), "every key, in order");
    let ends =
        |end: &str| csv.lines().filter(|line| line.ends_with(end) && line.matches(',').count() == 10).count() as i64;
    assert!(ends("+00,") >= null && ends("+00,\"\"") >= empty, "NULL and empty differ");
}

#[tokio::test]
async fn a_snapshot_nobody_holds_is_refused() {
    let (endpoint, _, _) = beer_database(32).await;
    let lake = Lake::beer();
    let (s3, objects) = store().await;
    for (snapshot, database) in [("00000003-0000001B-1", true), ("x'; DROP TABLE y", false), ("", false)] {
        let refused = export_table(&endpoint, snapshot, &lake.tables[0], 1, &s3, &EventSink::default()).await;
        let refused = refused.expect_err("no such snapshot");
        assert_eq!(matches!(refused, SourceError::Database { .. }), database, "{refused}");
    }
    assert!(objects.lock().expect("not poisoned").is_empty());
}
