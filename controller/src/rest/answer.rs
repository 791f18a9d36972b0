//! Answers on the wire.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::Stream;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER, WARNING},
};
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tonic::body::Body;

use super::refusal::Refusal;

/// What every handler returns.
pub(super) type Answer = Result<Response<Body>, Refusal>;

pub(super) const JSON: &str = "application/json";

/// `value` as JSON.
pub(super) fn json(code: StatusCode, value: &Value) -> Response<Body> {
    bytes(code, JSON, value.to_string().into())
}

/// What is encoded already.
pub(super) fn bytes(code: StatusCode, media_type: &str, content: Bytes) -> Response<Body> {
    with_body(code, media_type, Body::new(Full::new(content)))
}

/// Pieces of one answer, one after the other.
pub(super) fn pieces(
    media_type: &str,
    pieces: impl Stream<Item = Bytes> + Send + 'static,
) -> Response<Body> {
    use futures_util::StreamExt as _;
    let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    with_body(
        StatusCode::OK,
        media_type,
        Body::new(StreamBody::new(frames)),
    )
}

/// Words for people and load balancers.
pub(super) fn text(code: StatusCode, words: &str) -> Response<Body> {
    bytes(code, "text/plain; charset=utf-8", words.to_owned().into())
}

/// A refusal as a `Status`.
pub(super) fn refusal(refusal: &Refusal) -> Response<Body> {
    let mut response = json(refusal.code(), &refusal.status());
    if let Some(seconds) = refusal.retry_after() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Tells the caller what it should know though the call succeeded.
pub(super) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let quoted: String = warning
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .flat_map(|letter| match letter {
                '"' | '\\' => vec!['\\', letter],
                _ => vec![letter],
            })
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append(WARNING, value);
        }
    }
}

/// Names the content, so that who has it already need not take it again.
pub(super) fn tag(response: &mut Response<Body>, tag: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(ETAG, value);
    }
}

fn with_body(code: StatusCode, media_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(media_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
