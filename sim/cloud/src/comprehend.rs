//! Amazon Comprehend as far as personal data in one text: `DetectPiiEntities` and `ContainsPiiEntities` over AWS JSON 1.1.
//!
//! Finds nothing itself: a [`PiiDetector`] that comes with the configuration does, and without one the service is refused like
//! any that nobody knows here. AWS reads English and Spanish; here `en`, `es` and `pt` are taken, and the text is read alike
//! whatever it is said to be. What Comprehend has no type for is answered under the detector's own name, such as `BR_CPF`.
//!
//! Promises: the text is in no log and in no error; it is forgotten with the answer. Offsets count Unicode code points from
//! 0, the end is that behind the last one: "The offset returns the position of each UTF-8 code point in the string"
//! (`PiiEntity` in the reference of AWS SDK for Ruby 2; today's API reference says "offset from the beginning of the source
//! text to the first character in the entity"), and the example of the Developer Guide, "Detecting PII entities", has `Paulo
//! Santos` from 6 to 18 in `Hello Paulo Santos.`

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use lakebed_contract::{PiiDetector, PiiEntity};
use serde::Serialize;
use serde_json::{Value, json};

use crate::matrix::Service;
use crate::validation::{self, Refusal};

/// Longest text, bytes of UTF-8. "The maximum string size is 100 KB" says the API reference; its error names 100000 bytes.
const TEXT_BYTES_MAX: usize = 100_000;
/// AWS's two, and Portuguese.
const LANGUAGES: [&str; 3] = ["en", "es", "pt"];
const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// The service, with what finds personal data for it.
pub(crate) struct Comprehend {
    detector: Option<Arc<dyn PiiDetector>>,
}

impl Comprehend {
    pub(crate) fn new(detector: Option<Arc<dyn PiiDetector>>) -> Self {
        Self { detector }
    }

    /// Whether there is a detector, and so the service.
    pub(crate) fn is_served(&self) -> bool {
        self.detector.is_some()
    }

    /// Answers one request; `target` is its `X-Amz-Target`.
    pub(crate) async fn handle(&self, target: &str, body: Bytes) -> Response<Body> {
        let Some(detector) = self.detector.clone() else {
            return Self::refused("UnknownOperationException", &format!("no service here implements `{target}`"));
        };
        let operation = target.split_once('.').map_or("", |(_, operation)| operation).to_owned();
        let answer = move || answer(&*detector, &operation, &body);
        match tokio::task::spawn_blocking(answer).await {
            Ok(Ok(body)) => response(StatusCode::OK, body),
            Ok(Err(error)) => error.into_response(),
            Err(_panicked) => {
                // What it died of may quote the text.
                tracing::error!("comprehend failed to answer a request");
                Self::failure()
            }
        }
    }

    /// The answer when something of the service's own went wrong.
    pub(crate) fn failure() -> Response<Body> {
        let body = json!({ "__type": "InternalServerException", "Message": "An internal server error occurred." });
        response(StatusCode::INTERNAL_SERVER_ERROR, body.to_string().into_bytes())
    }

    /// The answer to a request that is refused before it comes to an operation.
    pub(crate) fn refused(code: &'static str, message: &str) -> Response<Body> {
        ComprehendError::common(code, message).into_response()
    }
}

/// A request that cannot be served, by AWS's name.
#[derive(Debug)]
struct ComprehendError {
    code: &'static str,
    message: String,
    /// Whether it is an error of the service's own model, whose member is called `Message`.
    is_modelled: bool,
}

impl ComprehendError {
    fn common(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), is_modelled: false }
    }

    fn modelled(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), is_modelled: true }
    }

    fn into_response(self) -> Response<Body> {
        let member = if self.is_modelled { "Message" } else { "message" };
        let body = json!({ "__type": self.code, member: self.message });
        response(StatusCode::BAD_REQUEST, body.to_string().into_bytes())
    }
}

impl From<Refusal> for ComprehendError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Serialization(message) => Self::common("SerializationException", message),
            Refusal::Validation(message) => Self::common("ValidationException", message),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entities {
    entities: Vec<Entity>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entity {
    score: f32,
    r#type: &'static str,
    begin_offset: usize,
    end_offset: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Labels {
    labels: Vec<Label>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Label {
    name: &'static str,
    score: f32,
}

fn answer(detector: &dyn PiiDetector, operation: &str, body: &[u8]) -> Result<Vec<u8>, ComprehendError> {
    let written = match operation {
        "DetectPiiEntities" => {
            let request = checked(operation, body)?;
            let text = text_of(&request)?;
            serde_json::to_vec(&Entities { entities: entities(text, &detector.detect(text)) })
        }
        "ContainsPiiEntities" => {
            let request = checked(operation, body)?;
            serde_json::to_vec(&Labels { labels: labels(&detector.detect(text_of(&request)?)) })
        }
        _ => {
            let message = format!("Comprehend operation `{operation}` is not implemented");
            return Err(ComprehendError::common("UnknownOperationException", message));
        }
    };
    Ok(written.expect("names and numbers are written into memory"))
}

/// The request, if the service model takes it. serde's message may quote the body, so only the place is told.
fn checked(operation: &str, body: &[u8]) -> Result<Value, ComprehendError> {
    let request = serde_json::from_slice(body).map_err(|error| {
        let message = format!("malformed JSON at line {} column {}", error.line(), error.column());
        ComprehendError::common("SerializationException", message)
    })?;
    validation::check(Service::Comprehend, operation, &request)?;
    Ok(request)
}

/// The text of a request, if its language and its size are taken.
fn text_of(request: &Value) -> Result<&str, ComprehendError> {
    let member = |name: &str| request.get(name).and_then(Value::as_str);
    let (Some(text), Some(language)) = (member("Text"), member("LanguageCode")) else {
        // A body that is `null`: of every other the model has told what is missing.
        return Err(ComprehendError::modelled("InvalidRequestException", "The request has no text or no language."));
    };
    if !LANGUAGES.contains(&language) {
        let message = format!("Language `{language}` is not supported here; supported are {}.", LANGUAGES.join(", "));
        return Err(ComprehendError::modelled("UnsupportedLanguageException", message));
    }
    if text.len() > TEXT_BYTES_MAX {
        let message = format!(
            "Input text size exceeds limit. Max length of request text allowed is {TEXT_BYTES_MAX} bytes while in this \
             request the text size is {} bytes",
            text.len()
        );
        return Err(ComprehendError::modelled("TextSizeLimitExceededException", message));
    }
    Ok(text)
}

/// What was found, with offsets in code points.
fn entities(text: &str, found: &[PiiEntity]) -> Vec<Entity> {
    let mut places = CodePoints { text: text.as_bytes(), byte: 0, point: 0 };
    let entity = |entity: &PiiEntity| Entity {
        score: entity.score,
        r#type: entity.name,
        begin_offset: places.at(entity.begin),
        end_offset: places.at(entity.end),
    };
    found.iter().map(entity).collect()
}

/// Counts code points up to byte offsets; rising offsets cost one pass over the text.
struct CodePoints<'a> {
    text: &'a [u8],
    byte: usize,
    point: usize,
}

impl CodePoints<'_> {
    fn at(&mut self, byte: usize) -> usize {
        let byte = byte.min(self.text.len());
        if byte < self.byte {
            (self.byte, self.point) = (0, 0);
        }
        // Every byte but those that continue a code point begins one.
        self.point += self.text[self.byte..byte].iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        self.byte = byte;
        self.point
    }
}

/// Each type that was found once, in the order of its first place, with its best score.
fn labels(found: &[PiiEntity]) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::new();
    for PiiEntity { name, score, .. } in found {
        match labels.iter_mut().find(|label| label.name == *name) {
            Some(label) => label.score = label.score.max(*score),
            None => labels.push(Label { name, score: *score }),
        }
    }
    labels
}

fn response(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON_TYPE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_code_points_in_any_order() {
        let text = "aé€😀e\u{301}b";
        let mut places = CodePoints { text: text.as_bytes(), byte: 0, point: 0 };
        for (point, (byte, _)) in text.char_indices().enumerate() {
            assert_eq!(places.at(byte), point);
        }
        assert_eq!(places.at(text.len()), 7);
        assert_eq!(places.at(usize::MAX), 7, "behind the end is the end");
        assert_eq!(places.at(3), 2, "back again");
    }
}
