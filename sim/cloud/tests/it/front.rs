//! The port from outside: the addresses it may listen on, and HTTP/2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lakebed_cloud::{AccessKey, Auth, Cloud, CloudConfig, CloudError};
use lakebed_contract::layout::LAKE_BUCKET;
use lakebed_contract::{Clock, Endpoints, Secret, Seed};

use crate::Running;
use crate::wire::{connected, send};

fn bound(dir: &Path, bind: IpAddr, auth: Auth) -> CloudConfig {
    let mut config = CloudConfig::new(dir, Clock::wall(), Seed(7));
    (config.bind, config.auth) = (bind, auth);
    config
}

fn s3(endpoints: &Endpoints) -> aws_sdk_s3::Client {
    let config = endpoints.sdk_config(&endpoints.s3_url);
    aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build())
}

#[tokio::test]
async fn a_public_address_is_refused_without_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    for public in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::from([192, 0, 2, 1])] {
        let refused = Cloud::start(bound(dir.path(), public, Auth::Accept)).await;
        let Err(error) = refused else { panic!("{public} is open to everybody") };
        assert!(matches!(error, CloudError::PublicWithoutAuth { address } if address == public), "{error:?}");
        assert!(error.to_string().contains("--auth enforce"), "{error}");
    }
    for keys in [Vec::new(), vec![AccessKey { id: "k".to_owned(), secret: Secret::new(String::new()) }]] {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let refused = Cloud::start(bound(dir.path(), loopback, Auth::Enforce(keys))).await;
        assert!(matches!(refused, Err(CloudError::UnusableKeys)), "{refused:?}");
    }
}

#[tokio::test]
async fn an_address_this_machine_does_not_have_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = AccessKey { id: "k".to_owned(), secret: Secret::new("s".to_owned()) };
    // Of a network that is for documentation only.
    let nobodys = IpAddr::from([192, 0, 2, 1]);
    let refused = Cloud::start(bound(dir.path(), nobodys, Auth::Enforce(vec![key]))).await;
    let Err(error) = refused else { panic!("listens on {nobodys}") };
    assert!(matches!(error, CloudError::Listen { address, .. } if address.ip() == nobodys), "{error:?}");
    assert!(error.to_string().contains("192.0.2.1:0"), "{error}");
}

#[tokio::test]
async fn a_public_address_is_served_to_those_who_sign_and_the_catalog_reaches_its_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = AccessKey { id: "k".to_owned(), secret: Secret::new("s".to_owned()) };
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let cloud = Cloud::start(bound(dir.path(), everywhere, Auth::Enforce(vec![key]))).await.expect("starts");
    assert!(cloud.address().ip().is_unspecified());
    let endpoints = cloud.endpoints();
    assert_eq!(endpoints.s3_url, format!("http://127.0.0.1:{}", cloud.port()));
    s3(&endpoints).create_bucket().bucket(LAKE_BUCKET).send().await.expect("created");

    let answer = send(cloud.port(), "GET /_lakebed/health", &[], "").await;
    assert!(answer.contains("\"running\"") && !answer.contains("state_dir"), "{answer}");

    let bearer = format!("Bearer {}", endpoints.catalog_token.as_ref().expect("a token").expose());
    let call = async |path: &str, body: &str| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        send(cloud.port(), &format!("POST /iceberg/v1/{path}"), &headers, body).await
    };
    let made = call("namespaces", r#"{"namespace":["silver"]}"#).await;
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    let field = r#"{"id":1,"name":"id","type":"long","required":true}"#;
    let table = format!(r#"{{"name":"t","schema":{{"type":"struct","schema-id":0,"fields":[{field}]}}}}"#);
    let made = call("namespaces/silver/tables", &table).await;
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    let listed = s3(&endpoints).list_objects_v2().bucket(LAKE_BUCKET).prefix("silver/t/metadata/").send().await;
    assert_eq!(listed.expect("listed").key_count(), Some(1));
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn the_other_loopback_address_works() {
    // Not every machine has it.
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let cloud = Cloud::start(bound(dir.path(), IpAddr::V6(Ipv6Addr::LOCALHOST), Auth::Accept)).await.expect("starts");
    let endpoints = cloud.endpoints();
    assert_eq!(endpoints.s3_url, format!("http://[::1]:{}", cloud.port()));
    s3(&endpoints).list_buckets().send().await.expect("listed");
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn http_2_works_for_those_who_begin_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    running.s3.create_bucket().bucket("plain").send().await.expect("created");
    let socket = connected(running.cloud.port()).await;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (sender, connection) = handshake.await.expect("agreed");
    let connection = tokio::spawn(connection);
    let origin = format!("http://127.0.0.1:{}", running.cloud.port());
    let call = |method: Method, path: &str, target: Option<&str>, body: &'static str| {
        let mut request = Request::builder().method(method).uri(format!("{origin}{path}"));
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).expect("a request");
        let mut sender = sender.clone();
        async move {
            let answer = sender.send_request(request).await.expect("answered");
            assert_eq!(answer.version(), Version::HTTP_2);
            let status = answer.status().as_u16();
            (status, answer.into_body().collect().await.expect("read").to_bytes())
        }
    };
    let (put, listed) = tokio::join!(
        call(Method::PUT, "/plain/k", None, "hello"),
        call(Method::POST, "/", Some("DynamoDB_20120810.ListTables"), "{}"),
    );
    assert_eq!((put.0, listed.0), (200, 200), "{put:?} {listed:?}");
    assert!(String::from_utf8_lossy(&listed.1).contains("TableNames"), "{listed:?}");
    assert_eq!(call(Method::GET, "/plain/k", None, "").await, (200, Bytes::from_static(b"hello")));
    running.stop().await;
    // A shutdown ends the connection in order.
    connection.await.expect("not cut off").expect("ended");
}
