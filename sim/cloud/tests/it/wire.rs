//! HTTP as it is, over a socket of its own: requests that no SDK would send, and answers before one has read them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to the cloud.
pub(crate) async fn connected(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.expect("connected")
}

/// A request as text: `line` is method and target. The host is an address unless the headers name one.
pub(crate) fn request(line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let names_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = if names_host { "" } else { "host: 127.0.0.1\r\n" };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line} HTTP/1.1\r\n{host}content-length: {}\r\n{headers}\r\n{body}", body.len())
}

/// The headers of a request to a service that speaks JSON.
pub(crate) fn json_headers(target: &str) -> [(&str, &str); 2] {
    [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")]
}

/// Sends text and gives the whole answer; the text has to ask for the end of the connection.
pub(crate) async fn raw(port: u16, request: &str) -> String {
    let mut socket = connected(port).await;
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("answered");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends one [`request`] and gives the whole answer.
pub(crate) async fn send(port: u16, line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers = [&[("connection", "close")], headers].concat();
    raw(port, &request(line, &headers, body)).await
}

/// The same to a service that speaks JSON.
pub(crate) async fn send_json(port: u16, target: &str, body: &str) -> String {
    send(port, "POST /", &json_headers(target), body).await
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status in: {answer}"))
}

/// What follows the head of an answer.
pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole head in: {answer}")).1
}
