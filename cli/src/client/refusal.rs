//! What the server says when it refuses, and the advice that belongs to it.

use quorate_proto::client::{explanation, reason_of};
use serde::Deserialize;
use tonic::Status;

use crate::error::exit;

/// A refusal, as Kubernetes' `Status` words it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Refusal {
    /// One word for programs: `NotFound`, `Conflict`, `Invalid`, …
    pub(crate) reason: String,
    /// The sentence for people.
    pub(crate) message: String,
    /// What exactly, and about what.
    pub(crate) details: Details,
    #[serde(skip)]
    broken: bool,
    /// The address that answered.
    #[serde(skip)]
    from: String,
}

/// What a refusal is about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Details {
    /// The kind of the object.
    pub(crate) kind: String,
    /// The name of the object.
    pub(crate) name: String,
    /// Each thing that is wrong.
    pub(crate) causes: Vec<Cause>,
    /// When to try again.
    pub(crate) retry_after_seconds: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Cause {
    /// The path of the field, or empty.
    pub(crate) field: String,
    /// One word for programs.
    pub(crate) reason: String,
    /// The sentence for people.
    pub(crate) message: String,
}

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.summary())
    }
}

impl Refusal {
    pub(crate) fn from_status(status: &Status, from: &str) -> Self {
        let explained =
            explanation(status).and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let mut refusal = explained.unwrap_or_else(|| Self {
            reason: reason_of(status.code()).to_owned(),
            message: quorate_identity::explain_tls_error(status)
                .unwrap_or_else(|| status.message().to_owned()),
            broken: super::is_transport(status),
            ..Self::default()
        });
        refusal.from = from.to_owned();
        refusal
    }

    /// What a watch has shown not to exist.
    pub(crate) fn not_found(message: String) -> Self {
        Self {
            reason: "NotFound".to_owned(),
            message,
            ..Self::default()
        }
    }

    /// The connection broke before the answer came.
    pub(crate) fn is_broken_connection(&self) -> bool {
        self.broken
    }

    /// The member cannot reach a majority of the members.
    pub(crate) fn no_quorum(&self) -> bool {
        !self.broken && matches!(self.reason.as_str(), "NoQuorum" | "ServiceUnavailable")
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    pub(crate) fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self.reason.as_str(), "Invalid" | "BadRequest")
    }

    /// The revision asked for has been compacted away.
    pub(crate) fn is_expired(&self) -> bool {
        matches!(self.reason.as_str(), "Expired" | "Gone")
    }

    /// Whether somebody else owns fields that an apply wants to set.
    pub(crate) fn is_field_conflict(&self) -> bool {
        self.is_conflict() && !self.details.causes.is_empty()
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.reason.as_str() {
            "NotFound" => exit::NOT_FOUND,
            "Conflict" | "AlreadyExists" => exit::CONFLICT,
            "Timeout" | "Unknown" => exit::TIMED_OUT,
            _ if self.broken || self.no_quorum() => exit::UNAVAILABLE,
            _ => exit::REFUSED,
        }
    }

    /// The first line.
    pub(crate) fn summary(&self) -> String {
        if self.broken {
            let why = if self.message.is_empty() {
                "no reason given"
            } else {
                &self.message
            };
            format!(
                "the connection to {} broke before the answer came: {why}",
                self.from
            )
        } else if self.message.is_empty() {
            format!(
                "{} answered {} without an explanation",
                self.from, self.reason
            )
        } else {
            self.message.clone()
        }
    }

    /// One line for each cause that the first line does not name already.
    pub(crate) fn detail_lines(&self) -> Vec<String> {
        let causes = self.details.causes.iter();
        let lines = causes.map(|cause| match cause.field.as_str() {
            "" => cause.message.clone(),
            field if cause.message.contains(field) => cause.message.clone(),
            field => format!("{field}: {}", cause.message),
        });
        lines
            .filter(|line| !line.is_empty() && !self.message.contains(line.as_str()))
            .collect()
    }

    /// What to do next.
    pub(crate) fn advice(&self) -> Option<String> {
        if self.broken {
            return Some("the change may or may not have been made: look with `quorate get`, then run the command again".to_owned());
        }
        Some(match self.reason.as_str() {
            "Conflict" if self.is_field_conflict() => FIELD_CONFLICT.to_owned(),
            // Every other conflict says itself what is in the way.
            "Conflict" => return None,
            "Unauthorized" => "sign in with `quorate join` and a token from an administrator, or choose another context with \
                               --context; an expired certificate is renewed by `quorate auth renew`"
                .to_owned(),
            "Forbidden" => "see what you may do with `quorate auth can-i --list`, and ask an administrator for a role".to_owned(),
            "Expired" | "Gone" => "what was asked for is older than the history that the cluster keeps: run the command again".to_owned(),
            "TooManyRequests" => match self.details.retry_after_seconds {
                0 => "wait a moment, then run the command again".to_owned(),
                seconds => format!("run the command again in {seconds} s"),
            },
            "RequestEntityTooLarge" => "split the object, or move its bulk out of it".to_owned(),
            "Timeout" | "Unknown" => {
                "the change may or may not have been made: look with `quorate get`, then run the command again".to_owned()
            }
            _ if self.no_quorum() => "writes and ordinary reads need a majority of the members: see who is missing with \
                                      `quorate cluster status`; `quorate get --local …` shows what this member last knew"
                .to_owned(),
            "AlreadyExists" => "change it with `quorate apply`, or choose another name".to_owned(),
            "NotFound" if !self.details.kind.is_empty() => format!("list what there is with `quorate get {}`", self.details.kind.to_lowercase()),
            _ => return None,
        })
    }
}

const FIELD_CONFLICT: &str = "choose one of three ways out:
  1. leave these fields out of your manifest, so that their present owner keeps them;
  2. write the value that they have now, so that both of you own them;
  3. take them over: run the command again with --force-conflicts.";

#[cfg(test)]
mod tests {
    use quorate_proto::client::EXPLANATION;
    use tonic::{
        Code,
        metadata::{MetadataMap, MetadataValue},
    };

    use super::*;

    fn explained(code: Code, body: &str) -> Refusal {
        let mut metadata = MetadataMap::new();
        metadata.insert_bin(EXPLANATION, MetadataValue::from_bytes(body.as_bytes()));
        Refusal::from_status(&Status::with_metadata(code, "short", metadata), "an01:7443")
    }

    #[test]
    fn a_field_conflict_names_field_and_manager_and_the_three_ways_out() {
        let refusal = explained(
            Code::Aborted,
            r#"{"reason":"Conflict","message":"1 field of virtualmachines \"web\" belongs to somebody else",
                "details":{"kind":"VirtualMachine","name":"web","causes":[
                  {"field":"spec.memory","reason":"FieldManagerConflict","message":"owned by \"alice\" (Apply)"}]}}"#,
        );
        assert_eq!(
            refusal.detail_lines(),
            ["spec.memory: owned by \"alice\" (Apply)"]
        );
        assert!(
            refusal
                .advice()
                .expect("advice")
                .contains("--force-conflicts")
        );
        assert_eq!(refusal.exit_code(), exit::CONFLICT);
    }

    #[test]
    fn an_answer_without_explanation_still_says_who_answered() {
        let refusal = Refusal::from_status(&Status::permission_denied(""), "an01:7443");
        assert_eq!(
            refusal.summary(),
            "an01:7443 answered Forbidden without an explanation"
        );
        assert_eq!(refusal.exit_code(), exit::REFUSED);
    }

    #[test]
    fn a_broken_connection_is_told_apart_from_a_member_without_quorum() {
        let broken = Refusal::from_status(&Status::unavailable("reset by peer"), "an01:7443");
        assert!(broken.is_broken_connection());
        assert!(broken.advice().expect("advice").contains("may or may not"));

        let lonely = explained(
            Code::Unavailable,
            r#"{"reason":"NoQuorum","message":"no quorum: 1 of 3 members answer"}"#,
        );
        assert!(!lonely.is_broken_connection() && lonely.no_quorum());
        assert!(lonely.advice().expect("advice").contains("--local"));
        assert_eq!(
            (broken.exit_code(), lonely.exit_code()),
            (exit::UNAVAILABLE, exit::UNAVAILABLE)
        );
    }
}
