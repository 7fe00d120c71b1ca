//! Refusals as S3 words them, with the elements that its errors have besides code and message.

use std::time::Duration;

use http::StatusCode;
use lakebed_contract::Timestamp;

use super::REGION;
use super::refusal::{Denial, Expiry, Form, Mismatch, Rendered, WrongScope};

const MALFORMED_HEADER: &str = "AuthorizationHeaderMalformed";
const MALFORMED_QUERY: &str = "AuthorizationQueryParametersError";

const CONTENT_HASHES: &str = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
     STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
     STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value.";

pub(super) fn render(denial: &Denial) -> Rendered {
    let (bad, forbidden) = (StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN);
    match denial {
        Denial::Anonymous | Denial::WrongToken => Rendered::new(forbidden, "AccessDenied", "Access Denied"),
        Denial::TwoForms => {
            let message = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                           parameter or the Authorization header should be specified";
            Rendered::new(bad, "InvalidArgument", message).with("ArgumentName", "Authorization")
        }
        Denial::OtherMechanism(_) => {
            let message =
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
            Rendered::new(bad, "InvalidRequest", message)
        }
        Denial::Incomplete { form: Form::Header, missing, .. } if *missing == ["X-Amz-Date"] => {
            let message = "AWS authentication requires a valid Date or x-amz-date header";
            Rendered::new(forbidden, "AccessDenied", message)
        }
        Denial::Incomplete { .. } | Denial::BadCredential { .. } | Denial::WrongScope(_) => malformed(denial),
        Denial::BadDate { form: Form::Header, .. } => {
            Rendered::new(forbidden, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
        }
        Denial::BadDate { form: Form::Query, .. } => {
            let message = "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"";
            Rendered::new(bad, MALFORMED_QUERY, message)
        }
        Denial::Expiry(expiry) => Rendered::new(bad, MALFORMED_QUERY, expiry_text(*expiry)),
        Denial::Skewed { .. } | Denial::NotYetValid { .. } | Denial::Expired { .. } => untimely(denial),
        Denial::UnsignedHost => unsigned(&["host".to_owned()]),
        Denial::UnsignedHeaders(names) => unsigned(names),
        Denial::UnknownKey(id) => {
            let message = "The AWS Access Key Id you provided does not exist in our records.";
            Rendered::new(forbidden, "InvalidAccessKeyId", message).with("AWSAccessKeyId", id)
        }
        Denial::NoContentHash => {
            Rendered::new(bad, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
        }
        Denial::BadContentHash(given) => Rendered::new(bad, "InvalidArgument", CONTENT_HASHES)
            .with("ArgumentName", "x-amz-content-sha256")
            .with("ArgumentValue", given),
        Denial::Mismatch(mismatch) => mismatched(mismatch),
        Denial::OtherContent { announced, computed } => {
            let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
            Rendered::new(bad, "XAmzContentSHA256Mismatch", message)
                .with("ClientComputedContentSHA256", announced)
                .with("S3ComputedContentSHA256", computed)
        }
        Denial::SmallChunk => {
            let message = "Only the last chunk is allowed to have a size less than 8192 bytes";
            Rendered::new(forbidden, "InvalidChunkSizeError", message)
        }
        Denial::LargeChunk => {
            let message = "Chunks of a signed body must not be larger than 16 MiB here";
            Rendered::new(bad, "InvalidRequest", message)
        }
    }
}

fn malformed(denial: &Denial) -> Rendered {
    let say = |form: Form, what: &str| match form {
        Form::Header => {
            let message = format!("The authorization header is malformed; {what}");
            Rendered::new(StatusCode::BAD_REQUEST, MALFORMED_HEADER, message)
        }
        Form::Query => {
            let message = format!("Error parsing the X-Amz-Credential parameter; {what}");
            Rendered::new(StatusCode::BAD_REQUEST, MALFORMED_QUERY, message)
        }
    };
    let malformed = |form: Form| {
        say(form, "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
    };
    match denial {
        Denial::Incomplete { form: Form::Query, .. } => {
            let message = "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
                           X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.";
            Rendered::new(StatusCode::BAD_REQUEST, MALFORMED_QUERY, message)
        }
        Denial::Incomplete { form: Form::Header, .. } => {
            let what = "the authorization header requires three components: Credential, SignedHeaders, and Signature.";
            say(Form::Header, what)
        }
        Denial::WrongScope(found) => {
            let WrongScope { form, region, service, terminator, date, stamp, expected } = &**found;
            match (region, service, terminator, date) {
                (_, Some(given), ..) => {
                    say(*form, &format!("incorrect service \"{given}\". This endpoint belongs to \"{expected}\"."))
                }
                (Some(given), ..) => {
                    say(*form, &format!("the region '{given}' is wrong; expecting '{REGION}'")).with("Region", REGION)
                }
                (.., Some(given)) => {
                    let is_not = "This date is not the same as X-Amz-Date";
                    say(*form, &format!("Invalid credential date \"{given}\". {is_not}: \"{}\".", &stamp[..8]))
                }
                (_, _, Some(given), _) => {
                    let only = "This endpoint belongs to \"aws4_request\".";
                    say(*form, &format!("incorrect terminal \"{given}\". {only}"))
                }
                (None, None, None, None) => malformed(*form),
            }
        }
        Denial::BadCredential { form, .. } => malformed(*form),
        _ => malformed(Form::Header),
    }
}

fn expiry_text(expiry: Expiry) -> &'static str {
    match expiry {
        Expiry::NotANumber => "X-Amz-Expires should be a number",
        Expiry::Negative => "X-Amz-Expires must be non-negative",
        Expiry::TooLong => {
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than \
             604800 seconds"
        }
    }
}

/// A moment as S3's errors have it.
fn moment(at: Timestamp) -> String {
    at.to_datetime().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn untimely(denial: &Denial) -> Rendered {
    let denied = |message: &str| Rendered::new(StatusCode::FORBIDDEN, "AccessDenied", message);
    match denial {
        Denial::Expired { stamp: _, seconds, end, now } => denied("Request has expired")
            .with("X-Amz-Expires", seconds.to_string())
            .with("Expires", moment(*end))
            .with("ServerTime", moment(*now)),
        Denial::NotYetValid { stamp, now, .. } => {
            denied("Request is not yet valid").with("RequestTime", stamp).with("ServerTime", moment(*now))
        }
        Denial::Skewed { stamp, now, allowed, .. } => skewed(stamp, *now, *allowed),
        _ => denied("Access Denied"),
    }
}

fn skewed(stamp: &str, now: Timestamp, allowed: Duration) -> Rendered {
    let message = "The difference between the request time and the current time is too large.";
    Rendered::new(StatusCode::FORBIDDEN, "RequestTimeTooSkewed", message)
        .with("RequestTime", stamp)
        .with("ServerTime", moment(now))
        .with("MaxAllowedSkewMilliseconds", allowed.as_millis().to_string())
}

fn unsigned(names: &[String]) -> Rendered {
    let message = "There were headers present in the request which were not signed";
    Rendered::new(StatusCode::FORBIDDEN, "AccessDenied", message).with("HeadersNotSigned", names.join(", "))
}

fn mismatched(mismatch: &Mismatch) -> Rendered {
    let Mismatch { key_id, provided, string_to_sign, canonical } = mismatch;
    let message = "The request signature we calculated does not match the signature you provided. Check your key and signing \
                   method.";
    let mut rendered = Rendered::new(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message)
        .with("AWSAccessKeyId", key_id)
        .with("StringToSign", string_to_sign)
        .with("SignatureProvided", provided)
        .with("StringToSignBytes", hexadecimal(string_to_sign));
    if let Some(canonical) = canonical {
        rendered = rendered.with("CanonicalRequest", canonical).with("CanonicalRequestBytes", hexadecimal(canonical));
    }
    rendered
}

fn hexadecimal(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::claim::stamp_of;
    use super::*;

    fn said(denial: &Denial) -> String {
        let Rendered { status, code, message, extras } = render(denial);
        let names: Vec<&str> = extras.iter().map(|(name, _)| *name).collect();
        format!("{} {code}: {message} [{}]", status.as_u16(), names.join(" "))
    }

    #[test]
    fn a_scope_is_refused_by_its_first_wrong_part() {
        let scope = |form: Form, region: Option<&str>, service: Option<&str>, date: Option<&str>| {
            Denial::WrongScope(Box::new(WrongScope {
                form,
                region: region.map(str::to_owned),
                service: service.map(str::to_owned),
                terminator: None,
                date: date.map(str::to_owned),
                stamp: stamp_of(Timestamp::from_seconds(1_369_353_600)),
                expected: "s3",
            }))
        };
        for (denial, expected) in [
            (
                scope(Form::Header, Some("eu-west-1"), None, None),
                "400 AuthorizationHeaderMalformed: The authorization header is malformed; the region 'eu-west-1' is \
                 wrong; expecting 'us-east-1' [Region]",
            ),
            (
                scope(Form::Query, Some("eu-west-1"), None, None),
                "400 AuthorizationQueryParametersError: Error parsing the X-Amz-Credential parameter; the region \
                 'eu-west-1' is wrong; expecting 'us-east-1' [Region]",
            ),
            (
                scope(Form::Header, None, Some("ec2"), None),
                "400 AuthorizationHeaderMalformed: The authorization header is malformed; incorrect service \"ec2\". \
                 This endpoint belongs to \"s3\". []",
            ),
            (
                scope(Form::Header, None, None, Some("20130523")),
                "400 AuthorizationHeaderMalformed: The authorization header is malformed; Invalid credential date \
                 \"20130523\". This date is not the same as X-Amz-Date: \"20130524\". []",
            ),
        ] {
            assert_eq!(said(&denial), expected);
        }
    }
}
