//! Whose requests are answered: Signature Version 4, checked on the cloud's clock before any store sees the request.
//!
//! ```text
//! begin: parts → claim (who, when, for what) → time → scope → key       before a byte of the body is read
//! finish / admit_s3: canonical request → signature
//! payload: S3 bodies are compared with what was signed while they are read
//! ```
//!
//! Under [`Auth::Accept`] nothing is looked at. Under [`Auth::Enforce`] every AWS request needs a valid signature of one of
//! the keys, in headers or in the query (presigned); session tokens are accepted as what they are, signed text. The one
//! region is us-east-1. The Iceberg catalog and `/_lakebed/events` accept a valid signature for any service and region, or
//! `Authorization: Bearer` with the token of a key (see `lakebed_contract::endpoints::bearer_token`), since most clients of a
//! REST catalog cannot sign. They get that token from `POST /iceberg/v1/oauth/tokens` with the key as client
//! credentials: property `credential` = `<id>:<secret>`. The token opens nothing but these two, and lives as long as its
//! key. `/_lakebed/health` is open. Signature Version 2 and 4A are refused. A refusal may repeat what the client signed,
//! to that client only, as AWS does; nothing of it is logged.

mod canonical;
mod claim;
mod json_wording;
mod keys;
mod payload;
mod refusal;
mod s3_wording;

use http::header::AUTHORIZATION;
use http::request::Parts;
use lakebed_contract::Clock;
use sha2::{Digest, Sha256};

use crate::config::Auth;
use crate::error::CloudError;
use crate::place::REGION;
use claim::Claim;
use keys::{Keys, SigningKey};
use refusal::Mismatch;

pub(crate) use payload::{BodyFault, BodyRule, ChunkChain, EMPTY_SHA256, Refused, Signed};
pub(crate) use refusal::{Denial, Rendered};

/// Who is asked, as far as signatures differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// S3.
    S3,
    /// DynamoDB, and its Streams, which are signed for under the same name.
    DynamoDb,
    /// Kinesis.
    Kinesis,
    /// Comprehend.
    Comprehend,
    /// KMS.
    Kms,
    /// The Iceberg REST catalog.
    Catalog,
    /// What lakebed itself tells.
    Front,
}

impl Service {
    /// The service in a credential's scope; `None` where any will do.
    pub(crate) fn signing_name(self) -> Option<&'static str> {
        match self {
            Self::S3 => Some("s3"),
            Self::DynamoDb => Some("dynamodb"),
            Self::Kinesis => Some("kinesis"),
            Self::Comprehend => Some("comprehend"),
            Self::Kms => Some("kms"),
            Self::Catalog | Self::Front => None,
        }
    }

    /// The service that the credential of a request is scoped to, if it is one of ours. Nothing is verified.
    pub(crate) fn of_scope(parts: &Parts) -> Option<Self> {
        match claim::scoped_service(parts)?.as_str() {
            "s3" => Some(Self::S3),
            "dynamodb" => Some(Self::DynamoDb),
            "kinesis" => Some(Self::Kinesis),
            "comprehend" => Some(Self::Comprehend),
            "kms" => Some(Self::Kms),
            _ => None,
        }
    }
}

/// Lets requests in.
pub(crate) struct Guard(Option<Enforced>);

struct Enforced {
    keys: Keys,
    clock: Clock,
}

/// A request whose first half was accepted.
pub(crate) enum Entry {
    /// Nothing is left to check.
    Open,
    /// The signature is left to check.
    Signed(Box<Claim>),
}

impl Guard {
    /// Enforces `auth` on `clock`. Fails when it enforces keys and has none that could be used.
    pub(crate) fn new(auth: &Auth, clock: Clock) -> Result<Self, CloudError> {
        match auth {
            Auth::Accept => Ok(Self(None)),
            Auth::Enforce(keys) if keys.is_empty() => Err(CloudError::UnusableKeys),
            Auth::Enforce(keys) if keys.iter().any(|key| key.id.is_empty() || key.secret.expose().is_empty()) => {
                Err(CloudError::UnusableKeys)
            }
            Auth::Enforce(keys) => Ok(Self(Some(Enforced { keys: Keys::new(keys), clock }))),
        }
    }

    /// Whether anything is checked.
    pub(crate) fn enforces(&self) -> bool {
        self.0.is_some()
    }

    /// The bearer token of a key, if this is one.
    pub(crate) fn token_of(&self, id: &str, secret: &str) -> Option<String> {
        self.0.as_ref()?.keys.token_of(id, secret)
    }

    /// Everything about an S3 request but its body, whose rule is the answer.
    pub(crate) fn admit_s3(&self, parts: &Parts) -> Result<Option<Signed>, Denial> {
        let Some(enforced) = &self.0 else { return Ok(None) };
        let claim = enforced.begin(parts, Service::S3)?;
        let content = payload::announced_content(parts, &claim)?;
        let key = enforced.check(&claim, parts, &content)?;
        Ok(Some(Signed::new(&content, claim, key)))
    }

    /// Everything that can be known about a request without its body.
    pub(crate) fn begin(&self, parts: &Parts, service: Service) -> Result<Entry, Denial> {
        let Some(enforced) = &self.0 else { return Ok(Entry::Open) };
        if service.signing_name().is_none()
            && let Some(token) = bearer(parts)
        {
            return if enforced.keys.has_token(token) { Ok(Entry::Open) } else { Err(Denial::WrongToken) };
        }
        enforced.begin(parts, service).map(|claim| Entry::Signed(Box::new(claim)))
    }

    /// The rest, when the body is known.
    pub(crate) fn finish(&self, entry: &Entry, parts: &Parts, body: &[u8]) -> Result<(), Denial> {
        match (&self.0, entry) {
            (Some(enforced), Entry::Signed(claim)) => {
                let content = data_encoding::HEXLOWER.encode(&Sha256::digest(body));
                enforced.check(claim, parts, &content).map(drop)
            }
            _ => Ok(()),
        }
    }
}

impl Enforced {
    fn begin(&self, parts: &Parts, service: Service) -> Result<Claim, Denial> {
        let claim = Claim::of(parts, service)?;
        claim.check_time(self.clock.now())?;
        claim.check_host()?;
        claim.check_scope()?;
        if !self.keys.knows(&claim.key_id) {
            return Err(Denial::UnknownKey(claim.key_id));
        }
        claim.check_headers(parts)?;
        Ok(claim)
    }

    /// Compares the signature of `claim` with that of the request, whose body is described by `content`.
    fn check(&self, claim: &Claim, parts: &Parts, content: &str) -> Result<SigningKey, Denial> {
        let Some(key) = self.keys.signing_key(claim) else {
            return Err(Denial::UnknownKey(claim.key_id.clone()));
        };
        let mut shown = None;
        for path in canonical::paths(parts.uri.path(), claim.service) {
            let canonical = canonical::request(parts, claim, &path, content);
            let text = canonical::string_to_sign(claim, &canonical);
            if key.signed(text.as_bytes(), &claim.signature) {
                self.keys.keep(claim, &key);
                return Ok(key);
            }
            shown.get_or_insert((canonical, text));
        }
        let (canonical, string_to_sign) = shown.unwrap_or_default();
        Err(Denial::Mismatch(Box::new(Mismatch {
            key_id: claim.key_id.clone(),
            provided: claim.signature.clone(),
            canonical: Some(canonical),
            string_to_sign,
        })))
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, token) = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
