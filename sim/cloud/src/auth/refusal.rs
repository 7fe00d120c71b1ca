//! Why a request is not let in. How it is said depends on who was asked: [`super::s3_wording`], [`super::json_wording`], and
//! here for the catalog and lakebed's own answers.
//!
//! Has no `Debug`: some reasons repeat what the client sent, which is for that client only.

use std::time::Duration;

use http::StatusCode;
use lakebed_contract::Timestamp;

use super::{Service, json_wording, s3_wording};

/// Where a signature stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Header,
    Query,
}

/// What is wrong with `X-Amz-Expires`.
#[derive(Clone, Copy)]
pub(crate) enum Expiry {
    NotANumber,
    Negative,
    TooLong,
}

/// The parts of a scope that are wrong, as they were given.
#[derive(Clone)]
pub(crate) struct WrongScope {
    pub(super) form: Form,
    pub(super) region: Option<String>,
    pub(super) service: Option<String>,
    pub(super) terminator: Option<String>,
    pub(super) date: Option<String>,
    pub(super) stamp: String,
    /// The right service.
    pub(super) expected: &'static str,
}

/// A signature, and what it should have been of.
#[derive(Clone)]
pub(crate) struct Mismatch {
    pub(super) key_id: String,
    pub(super) provided: String,
    pub(super) string_to_sign: String,
    /// `None` for a chunk of a body.
    pub(super) canonical: Option<String>,
}

/// Why a request is not let in.
#[derive(Clone)]
pub(crate) enum Denial {
    /// It is not signed.
    Anonymous,
    /// It is signed in its headers and in its query.
    TwoForms,
    /// It is signed in a way that is not supported.
    OtherMechanism(String),
    /// The signature lacks parts; `digest` of an `Authorization` header.
    Incomplete {
        /// Where.
        form: Form,
        /// Which.
        missing: Vec<&'static str>,
        /// Base64 of the SHA-256 of the header.
        digest: String,
    },
    /// The credential has not five parts.
    BadCredential {
        /// Where.
        form: Form,
        /// As given.
        given: String,
    },
    /// The moment is none.
    BadDate {
        /// Where.
        form: Form,
        /// As given.
        given: String,
    },
    /// The credential is for something else.
    WrongScope(Box<WrongScope>),
    /// The lifetime of a presigned URL is none.
    Expiry(Expiry),
    /// Signed too long ago, or in the future.
    Skewed {
        /// When it was signed.
        stamp: String,
        /// What time it is.
        now: Timestamp,
        /// What would have been accepted.
        allowed: Duration,
        /// Whether it lies in the future.
        is_early: bool,
    },
    /// A presigned URL of the future.
    NotYetValid {
        /// When it was signed.
        stamp: String,
        /// What time it is.
        now: Timestamp,
        /// What would have been accepted.
        allowed: Duration,
    },
    /// A presigned URL of the past.
    Expired {
        /// When it was signed.
        stamp: String,
        /// How long it held.
        seconds: i64,
        /// Until when.
        end: Timestamp,
        /// What time it is.
        now: Timestamp,
    },
    /// The signature does not name the host.
    UnsignedHost,
    /// Headers that matter are not signed.
    UnsignedHeaders(Vec<String>),
    /// There is no such key.
    UnknownKey(String),
    /// `x-amz-content-sha256` is missing.
    NoContentHash,
    /// `x-amz-content-sha256` is none of the values it may have.
    BadContentHash(String),
    /// The signature is of something else.
    Mismatch(Box<Mismatch>),
    /// The body is not the signed one.
    OtherContent {
        /// Its SHA-256 as announced.
        announced: String,
        /// Its SHA-256.
        computed: String,
    },
    /// A chunk that is not the last has less than AWS's minimum.
    SmallChunk,
    /// A signed chunk is larger than what is held back until its signature is seen.
    LargeChunk,
    /// The bearer token is of no key.
    WrongToken,
}

/// A denial as an answer.
pub(crate) struct Rendered {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Error code.
    pub(crate) code: &'static str,
    /// Text.
    pub(crate) message: String,
    /// Further elements, in S3's XML only.
    pub(crate) extras: Vec<(&'static str, String)>,
}

impl Rendered {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), extras: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.extras.push((name, text.into()));
        self
    }
}

impl Denial {
    /// As S3 says it.
    pub(crate) fn for_s3(&self) -> Rendered {
        s3_wording::render(self)
    }

    /// As the JSON protocols say it.
    pub(crate) fn for_json(&self, service: Service) -> Rendered {
        json_wording::render(self, service)
    }

    /// As the Iceberg specification says it.
    pub(crate) fn for_catalog(&self) -> Rendered {
        let message = match self {
            Self::Anonymous => "sign the request, or send a bearer token".to_owned(),
            Self::WrongToken => "the bearer token belongs to no access key".to_owned(),
            // The texts of the JSON protocols say what is wrong with a signature.
            other => json_wording::render(other, Service::Catalog).message,
        };
        Rendered::new(StatusCode::UNAUTHORIZED, "NotAuthorizedException", message)
    }
}
