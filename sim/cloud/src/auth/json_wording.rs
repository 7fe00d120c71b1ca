//! Refusals as the JSON protocols word them. All are 400, as Kinesis and DynamoDB answer.

use std::time::Duration;

use http::StatusCode;
use lakebed_contract::Timestamp;

use super::Service;
use super::claim::stamp_of;
use super::refusal::{Denial, Expiry, Form, Mismatch, Rendered, WrongScope};

pub(super) fn render(denial: &Denial, service: Service) -> Rendered {
    let (code, message) = said(denial, service);
    Rendered::new(StatusCode::BAD_REQUEST, code, message)
}

fn said(denial: &Denial, service: Service) -> (&'static str, String) {
    let incomplete = |message: String| ("IncompleteSignatureException", message);
    let invalid = |message: String| ("InvalidSignatureException", message);
    match denial {
        Denial::Anonymous | Denial::WrongToken => missing_token(service),
        // What does not even begin like a signature is none.
        Denial::OtherMechanism(given) if !given.starts_with("AWS4-") => missing_token(service),
        Denial::OtherMechanism(given) => {
            incomplete(format!("Unsupported AWS 'algorithm': '{given}' (only AWS4-HMAC-SHA256 for now). "))
        }
        Denial::TwoForms => invalid(
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.".to_owned(),
        ),
        Denial::Incomplete { form, missing, digest } => incomplete(missing_parts(*form, missing, digest)),
        Denial::BadCredential { given, .. } => incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{given}'"
        )),
        Denial::BadDate { given, .. } => incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{given}'. See http://en.wikipedia.org/wiki/ISO_8601"
        )),
        Denial::WrongScope(found) => invalid(scope_text(found)),
        Denial::Expiry(expiry) => incomplete(
            match expiry {
                Expiry::NotANumber => "'X-Amz-Expires' must be a number",
                Expiry::Negative => "'X-Amz-Expires' must not be negative",
                Expiry::TooLong => "'X-Amz-Expires' must be less than a week in seconds",
            }
            .to_owned(),
        ),
        Denial::Skewed { stamp, now, allowed, is_early: false } => {
            invalid(format!("Signature expired: {stamp} is now earlier than {}", bound(*now, *allowed, false)))
        }
        Denial::Skewed { stamp, now, allowed, is_early: true } | Denial::NotYetValid { stamp, now, allowed } => {
            invalid(format!("Signature not yet current: {stamp} is still later than {}", bound(*now, *allowed, true)))
        }
        Denial::Expired { stamp, seconds, end: _, now } => invalid(format!(
            "Signature expired: {stamp} is now earlier than {} ({} - {seconds} s.)",
            stamp_of(before(*now, Duration::from_secs(seconds.unsigned_abs()))),
            stamp_of(*now)
        )),
        Denial::UnsignedHost => must_be_signed("'Host' or ':authority'"),
        Denial::UnsignedHeaders(names) => must_be_signed(&format!("'{}'", names.first().map_or("", String::as_str))),
        Denial::UnknownKey(_) => {
            ("UnrecognizedClientException", "The security token included in the request is invalid.".to_owned())
        }
        Denial::Mismatch(mismatch) => invalid(mismatch_text(mismatch)),
        // These are about the bodies of S3 only; said all the same, should one ever come here.
        Denial::NoContentHash | Denial::BadContentHash(_) | Denial::OtherContent { .. } => {
            invalid("The content hash of the request is wrong.".to_owned())
        }
        Denial::SmallChunk | Denial::LargeChunk => invalid("The size of a chunk is wrong.".to_owned()),
    }
}

fn missing_token(service: Service) -> (&'static str, String) {
    let message = match service {
        Service::DynamoDb => "Request must contain either a valid (registered) AWS access key ID or X.509 certificate.",
        _ => "Missing Authentication Token",
    };
    ("MissingAuthenticationTokenException", message.to_owned())
}

fn missing_parts(form: Form, missing: &[&'static str], digest: &str) -> String {
    let mut text = String::new();
    for name in missing {
        text.push_str(&match (form, *name) {
            (Form::Query, name) => format!("AWS query-string parameters must include '{name}'. "),
            (Form::Header, "X-Amz-Date") => {
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ".to_owned()
            }
            (Form::Header, name) => format!("Authorization header requires '{name}' parameter. "),
        });
    }
    match form {
        Form::Query => text.push_str("Re-examine the query-string parameters."),
        Form::Header => text.push_str(&format!("(Hashed with SHA-256 and encoded with Base64) Authorization={digest}")),
    }
    text
}

fn must_be_signed(what: &str) -> (&'static str, String) {
    ("InvalidSignatureException", format!("{what} must be a 'SignedHeader' in the AWS Authorization."))
}

fn scope_text(found: &WrongScope) -> String {
    let WrongScope { form: _, region, service, terminator, date, stamp, expected } = found;
    let mut complaints = Vec::new();
    if let Some(given) = region {
        complaints.push(format!("Credential should be scoped to a valid region, not '{given}'. "));
    }
    if service.is_some() {
        complaints.push(format!("Credential should be scoped to correct service: '{expected}'. "));
    }
    if let Some(given) = terminator {
        complaints
            .push(format!("Credential should be scoped with a valid terminator: 'aws4_request', not '{given}'. "));
    }
    if let Some(given) = date {
        complaints.push(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{given}' != '{}', \
             from '{stamp}'.",
            &stamp[..8]
        ));
    }
    complaints.concat()
}

fn before(at: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(at.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
}

/// `<bound> (<now> - 5 min.)`
fn bound(now: Timestamp, allowed: Duration, is_later: bool) -> String {
    let (at, sign) = if is_later { (now.plus(allowed), '+') } else { (before(now, allowed), '-') };
    format!("{} ({} {sign} {} min.)", stamp_of(at), stamp_of(now), allowed.as_secs() / 60)
}

fn mismatch_text(mismatch: &Mismatch) -> String {
    let mut text =
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                    Access Key and signing method. Consult the service documentation for details."
            .to_owned();
    if let Some(canonical) = &mismatch.canonical {
        text.push_str(&format!(
            "\n\nThe Canonical String for this request should have been\n'{canonical}'\n\nThe String-to-Sign should have \
             been\n'{}'\n",
            mismatch.string_to_sign
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skewed_signature_is_told_its_bounds() {
        let now = Timestamp::from_seconds(1_465_582_272);
        let skewed = |stamp: &str, is_early: bool| {
            let allowed = Duration::from_secs(300);
            said(&Denial::Skewed { stamp: stamp.to_owned(), now, allowed, is_early }, Service::DynamoDb).1
        };
        assert_eq!(
            skewed("20160610T180547Z", false),
            "Signature expired: 20160610T180547Z is now earlier than 20160610T180612Z (20160610T181112Z - 5 min.)"
        );
        assert_eq!(
            skewed("20160610T182000Z", true),
            "Signature not yet current: 20160610T182000Z is still later than 20160610T181612Z (20160610T181112Z + 5 min.)"
        );
    }

    #[test]
    fn what_is_missing_is_listed() {
        let denial =
            Denial::Incomplete { form: Form::Header, missing: vec!["Signature", "X-Amz-Date"], digest: "d".to_owned() };
        assert_eq!(
            said(&denial, Service::Kinesis),
            (
                "IncompleteSignatureException",
                "Authorization header requires 'Signature' parameter. Authorization header requires existence of either a \
                 'X-Amz-Date' or a 'Date' header. (Hashed with SHA-256 and encoded with Base64) Authorization=d"
                    .to_owned()
            )
        );
    }
}
