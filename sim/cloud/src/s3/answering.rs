//! What `s3s` cannot say about an answer: another status than the operation's usual one, an ETag without quotes.
//!
//! An operation leaves a mark in the extensions of its answer, which `s3s` hands on; [`finish`] obeys it once the answer
//! is serialised.

use http::{Response, StatusCode};
use s3s::S3Response;

/// The answer has this status.
#[derive(Clone, Copy)]
struct Status(StatusCode);

/// The XML body names its ETag without quotes.
#[derive(Clone, Copy)]
struct BareETag;

/// An answer with a status of its own.
pub(super) fn with_status<T>(output: T, status: StatusCode) -> S3Response<T> {
    let mut answer = S3Response::new(output);
    answer.extensions.insert(Status(status));
    answer
}

/// An answer in whose XML body the ETag stands without quotes.
pub(super) fn with_bare_etag<T>(output: T) -> S3Response<T> {
    let mut answer = S3Response::new(output);
    answer.extensions.insert(BareETag);
    answer
}

/// Does what the operation asked for.
pub(super) fn finish(mut response: Response<s3s::Body>) -> Response<s3s::Body> {
    if let Some(Status(status)) = response.extensions_mut().remove::<Status>() {
        *response.status_mut() = status;
    }
    if response.extensions_mut().remove::<BareETag>().is_none() {
        return response;
    }
    let text = response.body().bytes().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    let Some(text) = text else { return response };
    let bare = text.replacen("<ETag>\"", "<ETag>", 1).replacen("\"</ETag>", "</ETag>", 1);
    response.map(|_quoted| s3s::Body::from(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_marked_answer_changes() {
        let answer = |mark: bool| {
            let mut response = Response::new(s3s::Body::from("<a><ETag>\"00\"</ETag></a>".to_owned()));
            if mark {
                response.extensions_mut().insert(BareETag);
                response.extensions_mut().insert(Status(StatusCode::NO_CONTENT));
            }
            let response = finish(response);
            (response.status().as_u16(), response.body().bytes().expect("in memory"))
        };
        assert_eq!(answer(false), (200, "<a><ETag>\"00\"</ETag></a>".into()));
        assert_eq!(answer(true), (204, "<a><ETag>00</ETag></a>".into()));
    }
}
