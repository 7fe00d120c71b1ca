//! The way into the Iceberg catalog: open, or for those who sign or have a token (see [`crate::auth`]).
//!
//! Where keys are enforced, this is also the token endpoint of the REST catalog specification
//! (`POST /v1/oauth/tokens`, client credentials): id and secret of a key are exchanged for the key's bearer token.

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::auth::{Denial, Entry, Guard, Rendered, Service};
use crate::buffering::{Buffered, Buffers, Unread};

/// Largest signed body; as large as the catalog takes any.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest form with client credentials.
const FORM_BYTES_MAX: usize = 64 * 1024;
const TOKENS_PATH: &str = "/iceberg/v1/oauth/tokens";

/// Answers a request for the catalog behind `routes`.
pub(crate) async fn answer(
    guard: &Guard,
    buffers: &Buffers,
    routes: &axum::Router,
    request: Request<Incoming>,
) -> Response<Body> {
    let admitted = match guard.enforces() {
        true if request.uri().path() == TOKENS_PATH => return token(guard, buffers, request).await,
        true => admit(guard, buffers, request).await,
        false => Ok((request.map(Body::new), None)),
    };
    match admitted {
        // The body has its room until the catalog is done with it. (It asks S3 on this port, which needs none.)
        Ok((request, _room)) => routes.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
        Err(refusal) => *refusal,
    }
}

async fn admit<'a>(
    guard: &Guard,
    buffers: &'a Buffers,
    request: Request<Incoming>,
) -> Result<(Request<Body>, Option<Buffered<'a>>), Box<Response<Body>>> {
    let (parts, body) = request.into_parts();
    let entry = guard.begin(&parts, Service::Catalog).map_err(|denial| Box::new(refusal(&denial)))?;
    if matches!(entry, Entry::Open) {
        return Ok((Request::from_parts(parts, Body::new(body)), None));
    }
    let body = buffers.read(body, BODY_BYTES_MAX).await.map_err(|unread| Box::new(not_read(&unread)))?;
    guard.finish(&entry, &parts, &body.bytes).map_err(|denial| Box::new(refusal(&denial)))?;
    Ok((Request::from_parts(parts, Body::from(body.bytes.clone())), Some(body)))
}

fn refusal(denial: &Denial) -> Response<Body> {
    let Rendered { status, code, message, .. } = denial.for_catalog();
    let mut response = error(status, code, &message);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn not_read(unread: &Unread) -> Response<Body> {
    match unread {
        Unread::TooLong => error(StatusCode::PAYLOAD_TOO_LARGE, "BadRequestException", "the body is too long"),
        Unread::TooSlow => error(StatusCode::REQUEST_TIMEOUT, "BadRequestException", "the body did not come in time"),
        Unread::Broken(why) => {
            error(StatusCode::BAD_REQUEST, "BadRequestException", &format!("failed to read the body: {why}"))
        }
    }
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    respond(status, &json!({ "error": { "message": message, "type": kind, "code": status.as_u16() } }))
}

fn respond(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// OAuth's error form, which the specification has for this one path.
fn no_token(status: StatusCode, kind: &str, description: &str) -> Response<Body> {
    respond(status, &json!({ "error": kind, "error_description": description }))
}

async fn token(guard: &Guard, buffers: &Buffers, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return no_token(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "only POST");
    }
    let form = match buffers.read(body, FORM_BYTES_MAX).await {
        Ok(form) => form,
        Err(unread) => return not_read(&unread),
    };
    let form = String::from_utf8_lossy(&form.bytes).into_owned();
    let field = |name: &str| {
        let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| decoded(value)).unwrap_or_default()
    };
    if field("grant_type") != "client_credentials" {
        return no_token(StatusCode::BAD_REQUEST, "unsupported_grant_type", "only client_credentials");
    }
    let Some(token) = guard.token_of(&field("client_id"), &field("client_secret")) else {
        return no_token(StatusCode::UNAUTHORIZED, "invalid_client", "id and secret are of no access key");
    };
    let issued = "urn:ietf:params:oauth:token-type:access_token";
    let answer = json!({ "access_token": token, "token_type": "bearer", "issued_token_type": issued });
    let mut response = respond(StatusCode::OK, &answer);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A value of a form.
fn decoded(value: &str) -> String {
    percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned()
}
