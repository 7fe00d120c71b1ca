//! What a request says about its own signature, before anything of it is believed.
//!
//! Header form (`Authorization`) and query form (presigned) come out as the same [`Claim`]; so do the checks that need no
//! secret: time, scope, which headers are signed. Knows no keys.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use http::HeaderMap;
use http::header::{AUTHORIZATION, DATE};
use http::request::Parts;
use lakebed_contract::Timestamp;
use sha2::{Digest, Sha256};

use super::canonical::{ALGORITHM, AUTHORITY, parameters};
use super::refusal::{Denial, Expiry, Form, WrongScope};
use super::{REGION, Service};

/// The last part of a scope.
pub(super) const TERMINATOR: &str = "aws4_request";
/// How far a client's clock may be from ours.
const SKEW_OF_S3: Duration = Duration::from_secs(15 * 60);
const SKEW: Duration = Duration::from_secs(5 * 60);
/// How long a presigned URL may hold.
const EXPIRES_MAX_SECONDS: i64 = 7 * 24 * 60 * 60;
const STAMP: &str = "%Y%m%dT%H%M%SZ";
/// Headers beginning with `x-amz-` that change nothing, so that AWS lets them be unsigned.
const MAY_BE_UNSIGNED: [&str; 2] = ["x-amz-content-sha256", "x-amz-user-agent"];

/// What a signing key is derived for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// `YYYYMMDD`.
    pub(super) date: String,
    pub(super) region: String,
    pub(super) service: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

/// A signature and what it claims to be of.
pub(crate) struct Claim {
    pub(super) service: Service,
    pub(super) key_id: String,
    pub(super) scope: Scope,
    terminator: String,
    /// Lower case, in the order in which they are signed.
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: String,
    /// When, as it is signed.
    pub(super) stamp: String,
    at: Timestamp,
    pub(super) is_presigned: bool,
    expires: Option<i64>,
}

/// Moment in the form of `X-Amz-Date`.
pub(super) fn stamp_of(at: Timestamp) -> String {
    at.to_datetime().format(STAMP).to_string()
}

/// The service in the scope of a request's credential.
pub(super) fn scoped_service(parts: &Parts) -> Option<String> {
    let in_header = || {
        let (_, rest) = text(&parts.headers, AUTHORIZATION.as_str())?.split_once("Credential=")?;
        rest.split(',').next().map(str::to_owned)
    };
    let in_query =
        || parameters(parts.uri.query()).find(|(name, _)| name == "X-Amz-Credential").map(|(_, value)| value);
    let credential = in_header().or_else(in_query)?;
    credential.trim().rsplit('/').nth(1).map(str::to_owned)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl Claim {
    /// Reads a request for `service`.
    pub(super) fn of(parts: &Parts, service: Service) -> Result<Self, Denial> {
        let query: Vec<(String, String)> = parameters(parts.uri.query()).collect();
        let has = |name: &str| query.iter().any(|(found, _)| found == name);
        let header = parts.headers.get(AUTHORIZATION);
        match (header, has("X-Amz-Algorithm")) {
            (Some(_), true) => Err(Denial::TwoForms),
            (Some(header), false) => Self::of_header(parts, header.to_str().unwrap_or_default(), service),
            (None, true) => Self::of_query(&query, service),
            // Signature Version 2.
            (None, false) if has("AWSAccessKeyId") && has("Signature") => Err(Denial::OtherMechanism(String::new())),
            (None, false) => Err(Denial::Anonymous),
        }
    }

    fn of_header(parts: &Parts, header: &str, service: Service) -> Result<Self, Denial> {
        let (algorithm, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if algorithm != ALGORITHM {
            return Err(Denial::OtherMechanism(algorithm.to_owned()));
        }
        let fields = rest.split(',').filter_map(|field| field.trim().split_once('='));
        let fields: Vec<(&str, &str)> = fields.collect();
        let field = |name: &str| fields.iter().find(|(found, _)| *found == name).map(|(_, value)| value.trim());
        let stamp = text(&parts.headers, "x-amz-date").or_else(|| text(&parts.headers, DATE.as_str()));
        let names = ["Credential", "Signature", "SignedHeaders"];
        let missing = names.into_iter().filter(|name| field(name).is_none_or(str::is_empty));
        let missing: Vec<&'static str> = missing.chain(stamp.is_none().then_some("X-Amz-Date")).collect();
        let (Some(credential), Some(signature), Some(signed), Some(stamp), true) =
            (field("Credential"), field("Signature"), field("SignedHeaders"), stamp, missing.is_empty())
        else {
            let digest = data_encoding::BASE64.encode(&Sha256::digest(header));
            return Err(Denial::Incomplete { form: Form::Header, missing, digest });
        };
        Self::new(service, Form::Header, [credential, signature, signed, stamp], None)
    }

    fn of_query(query: &[(String, String)], service: Service) -> Result<Self, Denial> {
        let value = |name: &str| query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let algorithm = value("X-Amz-Algorithm").unwrap_or_default();
        if algorithm != ALGORITHM {
            return Err(Denial::OtherMechanism(algorithm.to_owned()));
        }
        let names = ["X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];
        // Only S3 insists on an end.
        let more = (service == Service::S3).then_some("X-Amz-Expires");
        let missing = names.into_iter().chain(more).filter(|name| value(name).is_none_or(str::is_empty));
        let missing: Vec<&'static str> = missing.collect();
        if !missing.is_empty() {
            return Err(Denial::Incomplete { form: Form::Query, missing, digest: String::new() });
        }
        let expires = value("X-Amz-Expires").map(|text| match text.parse::<i64>() {
            Err(_) => Err(Denial::Expiry(Expiry::NotANumber)),
            Ok(seconds) if seconds < 0 => Err(Denial::Expiry(Expiry::Negative)),
            Ok(seconds) if seconds > EXPIRES_MAX_SECONDS => Err(Denial::Expiry(Expiry::TooLong)),
            Ok(seconds) => Ok(seconds),
        });
        let values = names.map(|name| value(name).unwrap_or_default());
        Self::new(service, Form::Query, values, expires.transpose()?)
    }

    /// `values`: credential, signature, signed headers, moment.
    fn new(service: Service, form: Form, values: [&str; 4], expires: Option<i64>) -> Result<Self, Denial> {
        let [credential, signature, signed, given] = values;
        let (at, stamp) = moment(given).ok_or_else(|| Denial::BadDate { form, given: given.to_owned() })?;
        let mut pieces = credential.rsplitn(5, '/');
        let mut piece = || pieces.next().map(str::to_owned);
        let (Some(terminator), Some(service_name), Some(region), Some(date), Some(key_id)) =
            (piece(), piece(), piece(), piece(), piece())
        else {
            return Err(Denial::BadCredential { form, given: credential.to_owned() });
        };
        Ok(Self {
            service,
            key_id,
            scope: Scope { date, region, service: service_name },
            terminator,
            signed_headers: signed.split(';').map(str::to_ascii_lowercase).collect(),
            signature: signature.to_owned(),
            stamp,
            at,
            is_presigned: form == Form::Query,
            expires,
        })
    }

    fn form(&self) -> Form {
        if self.is_presigned { Form::Query } else { Form::Header }
    }

    /// Whether the signature is of about now, or still holds.
    pub(super) fn check_time(&self, now: Timestamp) -> Result<(), Denial> {
        let allowed = if self.service == Service::S3 { SKEW_OF_S3 } else { SKEW };
        if let Some(seconds) = self.expires {
            let end = self.at.plus(Duration::from_secs(seconds.unsigned_abs()));
            if self.at > now.plus(allowed) {
                return Err(Denial::NotYetValid { stamp: self.stamp.clone(), now, allowed });
            }
            if end < now {
                return Err(Denial::Expired { stamp: self.stamp.clone(), seconds, end, now });
            }
            return Ok(());
        }
        if now.since(self.at) > allowed || self.at.since(now) > allowed {
            let is_early = self.at > now;
            return Err(Denial::Skewed { stamp: self.stamp.clone(), now, allowed, is_early });
        }
        Ok(())
    }

    /// A signature that does not name its host would hold anywhere.
    pub(super) fn check_host(&self) -> Result<(), Denial> {
        if self.is_signed("host") || self.is_signed(AUTHORITY) { Ok(()) } else { Err(Denial::UnsignedHost) }
    }

    /// Whether the credential is scoped to the service that was asked, here and on that day.
    pub(super) fn check_scope(&self) -> Result<(), Denial> {
        let expected = self.service.signing_name();
        let Scope { date, region, service } = &self.scope;
        let wrong = |is_wrong: bool, given: &str| is_wrong.then(|| given.to_owned());
        let found = WrongScope {
            form: self.form(),
            region: wrong(expected.is_some() && region != REGION, region),
            service: wrong(expected.is_some_and(|expected| service != expected), service),
            terminator: wrong(self.terminator != TERMINATOR, &self.terminator),
            date: wrong(!self.stamp.starts_with(date.as_str()) || date.len() != 8, date),
            stamp: self.stamp.clone(),
            expected: expected.unwrap_or_default(),
        };
        let is_right = [&found.region, &found.service, &found.terminator, &found.date].iter().all(|it| it.is_none());
        if is_right { Ok(()) } else { Err(Denial::WrongScope(Box::new(found))) }
    }

    /// What changes the meaning of a request must be signed.
    pub(super) fn check_headers(&self, parts: &Parts) -> Result<(), Denial> {
        let named = parts.headers.keys().map(http::HeaderName::as_str);
        let unsigned = named
            .filter(|name| name.starts_with("x-amz-") && !MAY_BE_UNSIGNED.contains(name) && !self.is_signed(name))
            .map(str::to_owned);
        let unsigned: Vec<String> = unsigned.collect();
        if unsigned.is_empty() { Ok(()) } else { Err(Denial::UnsignedHeaders(unsigned)) }
    }

    pub(super) fn is_signed(&self, name: &str) -> bool {
        self.signed_headers.iter().any(|signed| signed == name)
    }
}

/// A moment in ISO 8601's basic form or as in a `Date` header, and its basic form.
fn moment(text: &str) -> Option<(Timestamp, String)> {
    let at = match NaiveDateTime::parse_from_str(text, STAMP) {
        Ok(at) => at.and_utc(),
        Err(_) => DateTime::parse_from_rfc2822(text).ok()?.to_utc(),
    };
    let at = Timestamp(at.timestamp_micros());
    Some((at, stamp_of(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_moment_are_read() {
        let expected = Timestamp::from_seconds(1_369_353_600);
        for text in ["20130524T000000Z", "Fri, 24 May 2013 00:00:00 GMT"] {
            assert_eq!(moment(text), Some((expected, "20130524T000000Z".to_owned())), "{text}");
        }
        assert_eq!(moment("2013-05-24"), None);
    }

    #[test]
    fn the_scope_of_a_credential_names_its_service() {
        let header = "AWS4-HMAC-SHA256 Credential=a/b/20130524/us-east-1/kinesis/aws4_request, SignedHeaders=host";
        let (parts, ()) = http::Request::get("/").header(AUTHORIZATION, header).body(()).expect("valid").into_parts();
        assert_eq!(scoped_service(&parts).as_deref(), Some("kinesis"));
        let uri = "/?X-Amz-Credential=a%2F20130524%2Fus-east-1%2Fdynamodb%2Faws4_request";
        let (parts, ()) = http::Request::get(uri).body(()).expect("valid").into_parts();
        assert_eq!(scoped_service(&parts).as_deref(), Some("dynamodb"));
    }
}
