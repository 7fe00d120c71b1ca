//! The floor of the store benchmarks: a server that reads each request, does nothing, and answers so many bytes.
//!
//! It shows what HTTP, the client and this machine cost by themselves, with answers as large as lakebed's and copied as hyper copies them. It promises no
//! right answer, and is never asked for one. It ends when it is killed.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::{KIB, MIB, dynamodb, kinesis};
use crate::bench::definition::Operation;
use crate::error::HarnessError;

const SERVE: &str = "serve the floor";

/// Serves on a port of this machine until the process ends.
pub(in crate::bench) async fn serve(port: u16, operation: Operation) -> Result<Infallible, HarnessError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(HarnessError::stage(SERVE))?;
    serve_on(&listener, operation).await
}

pub(super) async fn serve_on(listener: &TcpListener, operation: Operation) -> Result<Infallible, HarnessError> {
    let answer = Bytes::from(vec![b' '; answer_bytes(operation)]);
    loop {
        let (socket, _) = listener.accept().await.map_err(HarnessError::stage(SERVE))?;
        let answer = answer.clone();
        tokio::spawn(async move {
            if let Err(error) = serve_connection(socket, answer).await {
                tracing::debug!(%error, "a connection of the floor ended early");
            }
        });
    }
}

async fn serve_connection(socket: TcpStream, answer: Bytes) -> Result<(), HarnessError> {
    socket.set_nodelay(true).map_err(HarnessError::stage(SERVE))?;
    let service = service_fn(move |request| forget(request, answer.clone()));
    http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.map_err(HarnessError::stage(SERVE))
}

async fn forget(request: Request<Incoming>, answer: Bytes) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        drop(frame?);
    }
    Ok(Response::new(Full::new(answer)))
}

/// About what lakebed answers; a test compares.
fn answer_bytes(operation: Operation) -> usize {
    match operation {
        Operation::S3Put4k | Operation::S3Put1m | Operation::S3Put64m => 0,
        Operation::S3Get4k => 4 * KIB,
        Operation::S3Get1m => MIB,
        Operation::S3Get64m => 64 * MIB,
        Operation::DynamodbPut | Operation::DynamodbConditionalPut | Operation::DynamodbConditionalUpdate => "{}".len(),
        Operation::DynamodbQuery => dynamodb::QUERY_ANSWER_BYTES,
        Operation::KinesisPutRecords => kinesis::PUT_ANSWER_BYTES,
        Operation::KinesisGetRecords => kinesis::GET_ANSWER_BYTES,
    }
}
