//! Refusals as Kubernetes says them: `metav1.Status`.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use thiserror::Error;

use crate::error::ApiError;

/// Why a request is not done.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What every face refuses.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is nothing under this path. Asking again does not help.
    #[error("the server could not find the requested resource")]
    NotServed,
    /// The path takes other methods. Asking again does not help.
    #[error(
        "the server does not allow this method on the requested resource: found {found}, allowed: {allowed}"
    )]
    Method {
        /// What was asked.
        found: Method,
        /// What would be possible.
        allowed: &'static str,
    },
    /// The body is in a form that is not read here. Send another.
    #[error(
        "the body of the request was in an unknown format - found {found:?}, accepted media types include: {allowed}"
    )]
    MediaType {
        /// What was sent.
        found: String,
        /// What is read.
        allowed: &'static str,
    },
    /// The caller takes no form that there is. Ask for JSON.
    #[error("only the following media types are accepted: application/json")]
    NotAcceptable,
}

impl Refusal {
    /// The HTTP status.
    pub(super) fn code(&self) -> StatusCode {
        let code = match self {
            Self::Api(error) => error.http_code(),
            Self::NotServed => 404,
            Self::Method { .. } => 405,
            Self::NotAcceptable => 406,
            Self::MediaType { .. } => 415,
        };
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The word that programs branch on.
    fn reason(&self) -> &'static str {
        match self {
            Self::Api(error) => error.reason(),
            Self::NotServed => "NotFound",
            Self::Method { .. } => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::MediaType { .. } => "UnsupportedMediaType",
        }
    }

    /// After how many seconds the same request may succeed.
    pub(super) fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Api(ApiError::TooManyRequests {
                retry_after_seconds,
                ..
            }) => Some(*retry_after_seconds),
            // An election takes about as long.
            Self::Api(ApiError::NoQuorum(_)) => Some(1),
            _ => None,
        }
    }

    /// The `Status` object.
    pub(super) fn status(&self) -> Value {
        let mut details = json!({});
        if let Self::Api(error) = self {
            let (kind, name) = error.subject();
            if !kind.is_empty() {
                details["group"] = json!(quorate_crds::GROUP);
                details["kind"] = json!(kind);
            }
            if !name.is_empty() {
                details["name"] = json!(name);
            }
            if !error.causes().is_empty() {
                details["causes"] = json!(error.causes());
            }
        }
        if let Some(seconds) = self.retry_after() {
            details["retryAfterSeconds"] = json!(seconds);
        }
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.to_string(),
            "reason": self.reason(),
            "details": details,
            "code": self.code().as_u16(),
        })
    }
}

/// Kubernetes' answer to a deletion that is done.
pub(super) fn deleted(plural: &str, name: &str, uid: &str) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "group": quorate_crds::GROUP,
            "kind": plural,
            "name": name,
            "uid": uid,
        },
    })
}

#[cfg(test)]
mod tests {
    use quorate_schema::ViolationReason;

    use super::*;
    use crate::error::{Cause, Subject};

    #[test]
    fn a_refusal_names_its_object_and_every_cause() {
        let refusal = Refusal::from(ApiError::invalid(
            Subject::new("virtualmachines", "web"),
            Cause::new("spec.memory", ViolationReason::Invalid, "found \"2 GB\""),
        ));
        let status = refusal.status();
        assert_eq!(status["code"], 422);
        assert_eq!(status["reason"], "Invalid");
        assert_eq!(status["details"]["group"], "quorate.dev");
        assert_eq!(status["details"]["kind"], "virtualmachines");
        assert_eq!(status["details"]["causes"][0]["field"], "spec.memory");
    }

    #[test]
    fn who_asks_too_often_is_told_when_to_come_back() {
        let refusal = Refusal::from(ApiError::TooManyRequests {
            message: "too many".into(),
            retry_after_seconds: 3,
        });
        assert_eq!(refusal.code(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refusal.status()["details"]["retryAfterSeconds"], 3);
    }
}
