//! The upload half, against an object store of a few lines that knows put and multipart upload.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lakebed_contract::{Endpoints, Lake};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Answers S3 requests and records `METHOD path?query` with the body. Part 2 fails if `fail_part_two`.
async fn store(fail_part_two: bool) -> (aws_sdk_s3::Client, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoints = Endpoints::embedded(listener.local_addr().unwrap().port());
    let requests = Requests::default();
    let record = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&record), fail_part_two));
        }
    });
    let config = aws_sdk_s3::config::Builder::from(&endpoints.sdk_config(&endpoints.s3_url))
        .force_path_style(true)
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
        .build();
    (aws_sdk_s3::Client::from_conf(config), requests)
}

async fn serve(stream: TcpStream, record: Requests, fail_part_two: bool) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let headers: BTreeMap<String, String> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let request = head.split(" HTTP").next().unwrap().to_owned();
        let (status, answer) = if fail_part_two && request.contains("partNumber=2") {
            ("500 Internal Server Error", "<Error><Code>InternalError</Code></Error>")
        } else if request.starts_with("POST") && request.contains("uploads") {
            ("200 OK", "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
        } else if request.starts_with("POST") {
            ("200 OK", "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
        } else {
            ("200 OK", "")
        };
        record.lock().unwrap().push((request, body));
        let answer = format!("HTTP/1.1 {status}\r\nETag: \"e\"\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn spooled(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

const TINY_PARTS: UploadLimits = UploadLimits { single_put_bytes: 3, part_bytes: 4 };

#[tokio::test]
async fn a_small_file_is_one_put() {
    let (s3, requests) = store(false).await;
    upload(&s3, "raw/t/x", spooled(b"abc"), 3, TINY_PARTS).await.unwrap();
    let requests = requests.lock().unwrap();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].0.starts_with("PUT /dm-stage/raw/t/x"), "{}", requests[0].0);
    assert_eq!(requests[0].1, b"abc");
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts() {
    let (s3, requests) = store(false).await;
    upload(&s3, "raw/t/x", spooled(b"abcdefghij"), 10, TINY_PARTS).await.unwrap();
    let requests = requests.lock().unwrap();
    let parts: Vec<&[u8]> = requests
        .iter()
        .filter(|(request, _)| request.contains("partNumber"))
        .map(|(_, body)| body.as_slice())
        .collect();
    assert_eq!(parts, [b"abcd".as_slice(), b"efgh", b"ij"]);
    assert!(requests.last().unwrap().0.starts_with("POST"), "completed last");
}

#[tokio::test]
async fn a_failed_part_aborts_the_upload() {
    let (s3, requests) = store(true).await;
    let failed = upload(&s3, "raw/t/x", spooled(b"abcdefghij"), 10, TINY_PARTS).await.expect_err("part 2 fails");
    assert!(failed.to_string().contains("part 2"), "{failed}");
    assert!(requests.lock().unwrap().last().unwrap().0.starts_with("DELETE"));
}

#[test]
fn the_export_selects_contract_columns_in_key_order() {
    let lake = Lake::beer();
    assert_eq!(
        copy_sql(lake.table("brewery").unwrap()),
        "COPY (SELECT \"brewery_id\", \"brewery_name\", \"city\", \"state\" FROM \"dm_core\".\"brewery\" \
         ORDER BY \"brewery_id\") TO STDOUT (FORMAT csv, HEADER true)"
    );
}
