//! What a request asks for: its path, its query and its body.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use http_body_util::BodyExt;
use tonic::{Status, body::Body};

use super::refusal::Refusal;
use crate::{error::ApiError, tls::ConnectionInfo};

/// The largest body; an object is at most half of it.
const MAX_BODY: usize = 4 << 20;
/// So much of a larger one is read and thrown away before it is refused.
const MOST_THROWN_AWAY: usize = 64 << 20;
/// A body that takes longer to arrive is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer paths and queries name nothing that there is.
const MAX_URI: usize = 16 << 10;

/// One request, its body not yet read.
pub(super) struct Asked {
    pub(super) method: Method,
    /// The parts of the path between the slashes, decoded.
    pub(super) path: Vec<String>,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) connection: ConnectionInfo,
    body: Option<Body>,
}

/// The whole body; none when it is too large. A caller that still writes when its connection is closed would never read why,
/// so that such a body is read all the same, if it has any end.
async fn whole(mut body: Body) -> Result<Option<Bytes>, Status> {
    let (mut kept, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        length += data.len();
        if length <= MAX_BODY {
            kept.extend_from_slice(&data);
        } else if length > MOST_THROWN_AWAY {
            break;
        } else {
            kept = BytesMut::new();
        }
    }
    Ok((length <= MAX_BODY).then(|| kept.freeze()))
}

/// What stands behind the question mark, decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Asked {
    pub(super) fn read(request: Request<Body>) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let connection = parts
            .extensions
            .get::<ConnectionInfo>()
            .cloned()
            .ok_or_else(|| {
                ApiError::Internal("the call came over a connection that nobody looked at".into())
            })?;
        let query = parts.uri.query().unwrap_or_default();
        if parts.uri.path().len() + query.len() > MAX_URI {
            return Err(ApiError::TooLarge(format!(
                "the path and the query are longer than {MAX_URI} bytes"
            ))
            .into());
        }
        let path = parts
            .uri
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| decode(segment, false))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| unreadable("path"))?;
        Ok(Self {
            method: parts.method,
            path,
            query: Query::parse(query).ok_or_else(|| unreadable("query"))?,
            headers: parts.headers,
            connection,
            body: Some(body),
        })
    }

    /// The whole body, once.
    pub(super) async fn body(&mut self) -> Result<Bytes, Refusal> {
        let Some(body) = self.body.take() else {
            return Ok(Bytes::new());
        };
        match tokio::time::timeout(PATIENCE, whole(body)).await {
            Ok(Ok(Some(body))) => Ok(body),
            Ok(Ok(None)) => Err(ApiError::TooLarge(format!(
                "the body of the request is larger than {MAX_BODY} bytes"
            ))
            .into()),
            Ok(Err(error)) => Err(ApiError::BadRequest(format!(
                "the body of the request broke off: {error}"
            ))
            .into()),
            Err(_) => Err(ApiError::BadRequest(format!(
                "the body of the request did not arrive within {PATIENCE:?}"
            ))
            .into()),
        }
    }

    /// The media type of the body, without its parameters; empty when the request says none.
    pub(super) fn content_type(&self) -> &str {
        self.headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(str::trim)
            .unwrap_or_default()
    }

    /// The access token, if one is shown.
    pub(super) fn token(&self) -> Result<Option<&str>, Refusal> {
        let mut shown = self.headers.get_all(AUTHORIZATION).into_iter();
        let unreadable = || {
            ApiError::Unauthorized(
                "the header Authorization is not readable, allowed: Bearer and an access token, once"
                    .into(),
            )
        };
        let token = match (shown.next(), shown.next()) {
            (None, _) => return Ok(None),
            (Some(header), None) => header.to_str().ok(),
            (Some(_), Some(_)) => None,
        };
        let (scheme, token) = token
            .and_then(|text| text.split_once(' '))
            .ok_or_else(unreadable)?;
        match scheme.eq_ignore_ascii_case("Bearer") {
            true => Ok(Some(token.trim())),
            false => Err(unreadable().into()),
        }
    }

    /// The program that calls, as its user agent says; it owns the fields when nobody else is named.
    pub(super) fn program(&self) -> String {
        self.headers
            .get(USER_AGENT)
            .and_then(|agent| agent.to_str().ok())
            .and_then(|agent| agent.split(['/', ' ']).next())
            .filter(|agent| !agent.is_empty())
            .unwrap_or("unknown")
            .to_owned()
    }
}

impl Query {
    /// None when it is not readable.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decode(name, true)?, decode(value, true)?))
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    /// The first value of that name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first value of that name that says something.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|value| !value.is_empty())
    }

    /// All values of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Yes or no, in the words that Kubernetes takes; none when it does not stand there.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.text(name)
            .map(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0" | "f"))
    }

    /// A whole number; none when it does not stand there.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.filled(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    Refusal::from(ApiError::BadRequest(format!(
                        "{name}: found {value:?}, allowed: a whole number"
                    )))
                })
            })
            .transpose()
    }
}

/// Percent-decoded text; none when it is no UTF-8 or ends in the middle.
fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn unreadable(what: &str) -> Refusal {
    ApiError::BadRequest(format!("the {what} of the request is not readable")).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc+in+%28d%29&watch=&limit=5&dryRun=All")
            .expect("readable");
        assert_eq!(query.text("labelSelector"), Some("a=b,c in (d)"));
        assert_eq!(query.flag("watch"), Some(true));
        assert_eq!(query.flag("nothing"), None);
        assert_eq!(query.number("limit").expect("a number"), Some(5));
        assert!(query.number("dryRun").is_err());
        assert_eq!(decode("a+b%2fc", false).as_deref(), Some("a+b/c"));
    }

    #[test]
    fn what_breaks_off_is_refused() {
        for text in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decode(text, false), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_query_makes_the_server_stumble(text in ".*") {
            let _ = Query::parse(&text);
        }
    }
}
