//! Why a call was refused, in Kubernetes' words.
//!
//! Every refusal carries three things: a gRPC code for tools that know only gRPC, a reason that
//! programs branch on, and a message for people. The reason, the object and the single causes travel
//! as a JSON `Status` in the binary trailer [`EXPLANATION`]; they are those of Kubernetes'
//! `metav1.Status`, so that the Kubernetes faces can pass them on unchanged.

use std::fmt::Write as _;

use quorate_proto::client::EXPLANATION;
use quorate_schema::{Violation, ViolationReason};
use quorate_store::StoreError;
use serde::Serialize;
use thiserror::Error;
use tonic::{Code, Status, metadata::MetadataValue};

/// HTTP/2 peers accept 16 KiB of headers by habit, and the message travels percent-encoded beside the
/// trailer, which is base64: what does not fit is left out, the first causes are kept.
const MAX_CAUSES_BYTES: usize = 4096;
const MAX_MESSAGE: usize = 1024;

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The field, as `spec.disks[1].size`; empty for the object as a whole.
    pub field: String,
    /// The class, as Kubernetes names it: `FieldValueInvalid`, `FieldManagerConflict`, …
    pub reason: String,
    /// What was found and what is allowed.
    pub message: String,
}

impl Cause {
    /// A cause of the class `reason` at `field`.
    pub fn new(
        field: impl Into<String>,
        reason: ViolationReason,
        message: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            reason: reason.as_str().to_owned(),
            message: message.into(),
        }
    }
}

impl From<Violation> for Cause {
    fn from(violation: Violation) -> Self {
        Self {
            field: violation.path,
            reason: violation.reason.as_str().to_owned(),
            message: violation.message,
        }
    }
}

/// Which object a refusal is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The plural of its kind.
    pub kind: String,
    /// Its name; empty for calls about a whole kind.
    pub name: String,
}

impl Subject {
    /// The object `name` of the kind whose plural is `kind`.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() {
            f.write_str(&self.kind)
        } else {
            write!(f, "{} {:?}", self.kind, self.name)
        }
    }
}

/// Why a call was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ApiError {
    /// There is no such object. Repeating the call does not help.
    #[error("{0} not found")]
    NotFound(Subject),
    /// There is no such kind. Repeating the call does not help.
    #[error(
        "the server has no kind {found:?}{}; `quorate api-resources` lists them",
        suggestion.as_ref().map(|kind| format!(", did you mean {kind:?}?")).unwrap_or_default()
    )]
    UnknownKind {
        /// What was asked for.
        found: String,
        /// A kind with a similar name.
        suggestion: Option<String>,
    },
    /// The object to be created is there already. Repeating the call does not help.
    #[error("{0} already exists")]
    AlreadyExists(Subject),
    /// The object is not in the state that the call relied on: read it and decide again.
    #[error("{subject}: {message}")]
    Conflict {
        /// The object.
        subject: Subject,
        /// What differs.
        message: String,
        /// Server-side apply: one per field and manager.
        causes: Vec<Cause>,
    },
    /// The object breaks rules; it must be changed.
    #[error("{} is invalid: {}", subject, summary(causes))]
    Invalid {
        /// The object.
        subject: Subject,
        /// What is wrong with it.
        causes: Vec<Cause>,
    },
    /// The request itself makes no sense; it must be changed.
    #[error("{0}")]
    BadRequest(String),
    /// The caller is known and may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The caller is not known.
    #[error("{0}")]
    Unauthorized(String),
    /// Too much at once; the same call may succeed after the wait.
    #[error("{message}; try again in {retry_after_seconds} s")]
    TooManyRequests {
        /// Which limit was met.
        message: String,
        /// When to come back.
        retry_after_seconds: u32,
    },
    /// The revision or the continue token is no longer kept: list again.
    #[error("{0}")]
    Expired(String),
    /// The request is larger than the server takes; it must be changed.
    #[error("{0}")]
    TooLarge(String),
    /// No quorum answers; the same call succeeds when there is one again. Nothing was written.
    #[error("{0}")]
    NoQuorum(String),
    /// The disk has no room; the same call succeeds when there is some. Nothing was written.
    #[error("{0}")]
    InsufficientStorage(String),
    /// The outcome of a write is not known: read the object before trying again.
    #[error("{0}")]
    Unknown(String),
    /// A fault of the server. Repeating the call does not help until somebody looks at its log.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The wire form; the field names are those of `metav1.Status`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusBody<'a> {
    status: &'static str,
    code: u16,
    reason: &'static str,
    message: &'a str,
    details: Details<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "<[Cause]>::is_empty")]
    causes: &'a [Cause],
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}

impl ApiError {
    /// One broken rule of one object.
    pub fn invalid(subject: Subject, cause: Cause) -> Self {
        Self::Invalid {
            subject,
            causes: vec![cause],
        }
    }

    /// The object was changed in the meantime.
    pub fn conflict(subject: Subject, message: impl Into<String>) -> Self {
        Self::Conflict {
            subject,
            message: message.into(),
            causes: Vec::new(),
        }
    }

    /// The word programs branch on.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) | Self::UnknownKind { .. } => "NotFound",
            Self::AlreadyExists(_) => "AlreadyExists",
            Self::Conflict { .. } => "Conflict",
            Self::Invalid { .. } => "Invalid",
            Self::BadRequest(_) => "BadRequest",
            Self::Forbidden(_) => "Forbidden",
            Self::Unauthorized(_) => "Unauthorized",
            Self::TooManyRequests { .. } => "TooManyRequests",
            Self::Expired(_) => "Expired",
            Self::TooLarge(_) => "RequestEntityTooLarge",
            Self::NoQuorum(_) => "ServiceUnavailable",
            Self::InsufficientStorage(_) => "InsufficientStorage",
            Self::Unknown(_) => "Timeout",
            Self::Internal(_) => "InternalError",
        }
    }

    /// The HTTP status.
    pub(crate) fn http_code(&self) -> u16 {
        self.codes().1
    }

    fn codes(&self) -> (Code, u16) {
        match self {
            Self::NotFound(_) | Self::UnknownKind { .. } => (Code::NotFound, 404),
            Self::AlreadyExists(_) => (Code::AlreadyExists, 409),
            Self::Conflict { .. } => (Code::Aborted, 409),
            Self::Invalid { .. } => (Code::InvalidArgument, 422),
            Self::BadRequest(_) => (Code::InvalidArgument, 400),
            Self::Forbidden(_) => (Code::PermissionDenied, 403),
            Self::Unauthorized(_) => (Code::Unauthenticated, 401),
            Self::TooManyRequests { .. } => (Code::ResourceExhausted, 429),
            Self::Expired(_) => (Code::OutOfRange, 410),
            Self::TooLarge(_) => (Code::ResourceExhausted, 413),
            Self::NoQuorum(_) => (Code::Unavailable, 503),
            Self::InsufficientStorage(_) => (Code::Unavailable, 507),
            Self::Unknown(_) => (Code::DeadlineExceeded, 504),
            Self::Internal(_) => (Code::Internal, 500),
        }
    }

    /// Whether a newer state of the store could turn this refusal into a success or into another
    /// refusal. Such a refusal is given only on a state that a quorum has confirmed.
    pub(crate) fn depends_on_state(&self) -> bool {
        matches!(
            self,
            Self::NotFound(_)
                | Self::AlreadyExists(_)
                | Self::Conflict { .. }
                | Self::Invalid { .. }
                | Self::BadRequest(_)
                | Self::Forbidden(_)
        )
    }

    /// The plural and the name of the object that it is about; empty where there is none.
    pub(crate) fn subject(&self) -> (&str, &str) {
        match self {
            Self::NotFound(subject)
            | Self::AlreadyExists(subject)
            | Self::Conflict { subject, .. }
            | Self::Invalid { subject, .. } => (&subject.kind, &subject.name),
            _ => ("", ""),
        }
    }

    /// The single things that are wrong.
    pub(crate) fn causes(&self) -> &[Cause] {
        match self {
            Self::Conflict { causes, .. } | Self::Invalid { causes, .. } => causes,
            _ => &[],
        }
    }
}

/// The causes in one line; the full list travels beside it.
fn summary(causes: &[Cause]) -> String {
    const SHOWN: usize = 5;
    let mut text = String::new();
    for cause in causes.iter().take(SHOWN) {
        if !text.is_empty() {
            text.push_str("; ");
        }
        if !cause.field.is_empty() {
            let _ = write!(text, "{}: ", cause.field);
        }
        text.push_str(&cause.message);
    }
    if causes.len() > SHOWN {
        let _ = write!(text, "; and {} more", causes.len() - SHOWN);
    }
    text
}

fn fitting(causes: &[Cause]) -> Vec<Cause> {
    let mut bytes = 0;
    causes
        .iter()
        .map(|cause| Cause {
            field: shortened(&cause.field),
            reason: cause.reason.clone(),
            message: shortened(&cause.message),
        })
        .take_while(|cause| {
            bytes += cause.field.len() + cause.message.len();
            bytes <= MAX_CAUSES_BYTES
        })
        .collect()
}

fn shortened(text: &str) -> String {
    if text.len() <= MAX_MESSAGE {
        return text.to_owned();
    }
    let end = (0..=MAX_MESSAGE)
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let (code, http) = error.codes();
        let message = shortened(&error.to_string());
        let (kind, name) = error.subject();
        // A caller may ask for an object by a name of any length.
        let (kind, name) = (shortened(kind), shortened(name));
        let causes = fitting(error.causes());
        let retry_after_seconds = match error {
            ApiError::TooManyRequests {
                retry_after_seconds,
                ..
            } => Some(retry_after_seconds),
            _ => None,
        };
        let body = StatusBody {
            status: "Failure",
            code: http,
            reason: error.reason(),
            message: &message,
            details: Details {
                kind: &kind,
                name: &name,
                causes: &causes,
                retry_after_seconds,
            },
        };
        let mut status = Status::new(code, message.clone());
        if let Ok(json) = serde_json::to_vec(&body) {
            status
                .metadata_mut()
                .insert_bin(EXPLANATION, MetadataValue::from_bytes(&json));
        }
        status
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NoQuorum { .. } => Self::NoQuorum(message),
            StoreError::Unknown { .. } => Self::Unknown(message),
            StoreError::DiskFull { .. } => Self::InsufficientStorage(message),
            StoreError::TooLarge { .. } => Self::TooLarge(message),
            StoreError::Expired { .. } => Self::Expired(message),
            StoreError::Member { .. } | StoreError::Foreign { .. } => Self::BadRequest(message),
            StoreError::Stopped => Self::NoQuorum(message),
            StoreError::Future { .. } | StoreError::Damaged { .. } => Self::Internal(message),
            StoreError::Io(source) => Self::Internal(format!("{message}: {source}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(status: &Status) -> serde_json::Value {
        let bytes = status
            .metadata()
            .get_bin(EXPLANATION)
            .expect("the trailer is there")
            .to_bytes()
            .expect("it decodes");
        serde_json::from_slice(&bytes).expect("it is JSON")
    }

    #[test]
    fn a_refusal_names_its_object_its_reason_and_every_cause() {
        let status: Status = ApiError::invalid(
            Subject::new("virtualmachines", "web"),
            Cause::new(
                "spec.memory",
                ViolationReason::Invalid,
                "found \"2 GB\", allowed: a quantity such as 2Gi",
            ),
        )
        .into();

        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(
            status.message(),
            "virtualmachines \"web\" is invalid: spec.memory: found \"2 GB\", allowed: a quantity such as 2Gi"
        );
        let body = body(&status);
        assert_eq!(body["reason"], "Invalid");
        assert_eq!(body["code"], 422);
        assert_eq!(body["details"]["kind"], "virtualmachines");
        assert_eq!(body["details"]["name"], "web");
        assert_eq!(body["details"]["causes"][0]["field"], "spec.memory");
        assert_eq!(body["details"]["causes"][0]["reason"], "FieldValueInvalid");
    }

    #[test]
    fn a_refusal_with_a_thousand_causes_still_fits_into_a_trailer() {
        let cause = Cause::new("spec.x", ViolationReason::Invalid, "ü".repeat(10_000));
        let status: Status = ApiError::Invalid {
            subject: Subject::new("virtualmachines", "web"),
            causes: vec![cause; 1000],
        }
        .into();
        assert!(status.message().len() < 2000);
        let trailer = status.metadata().get_bin(EXPLANATION).expect("there");
        assert!(trailer.as_encoded_bytes().len() < 10_000);
        assert_eq!(body(&status)["reason"], "Invalid");
    }

    #[test]
    fn a_refusal_about_an_endless_name_still_fits_into_a_trailer() {
        let status: Status =
            ApiError::NotFound(Subject::new("virtualmachines", "x".repeat(100_000))).into();
        let trailer = status.metadata().get_bin(EXPLANATION).expect("there");
        assert!(trailer.as_encoded_bytes().len() < 10_000);
        assert_eq!(body(&status)["reason"], "NotFound");
    }

    #[test]
    fn a_limit_says_when_to_come_back() {
        let status: Status = ApiError::TooManyRequests {
            message: "too many calls".into(),
            retry_after_seconds: 1,
        }
        .into();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(body(&status)["details"]["retryAfterSeconds"], 1);
    }
}
