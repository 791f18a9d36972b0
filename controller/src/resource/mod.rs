//! The object engine: what a verb does to an object, with Kubernetes' meaning, and nothing of gRPC.
//!
//! A write never interprets anything inside the log. Each verb computes the *result* from the state at
//! hand (merge, defaults, validation, admission) and proposes it with the conditions under which it is
//! right; when the state has moved on meanwhile, the proposal is refused as a whole and the verb
//! computes again. The state at hand is this member's own, which may be old: a refusal that a newer
//! state could change is therefore given only after a quorum has confirmed the state, so that a member
//! that lags never answers "not found" for something that was acknowledged elsewhere.

mod apply;
mod continue_token;
mod create;
mod delete;
mod draft;
mod get;
mod list;
mod live;
mod manifest;
mod metadata;
pub(crate) mod object;
mod outbox;
mod patch;
mod unknown;
mod update;
mod version;
mod watch;
mod write;

use std::sync::Arc;

use quorate_crds::KindInfo;
use quorate_identity::Keyring;
use quorate_store::{Condition, Revision, Store, View};
use serde_json::Value;

use crate::{
    error::{ApiError, Subject},
    sources::Sources,
};

pub use continue_token::ContinueToken;
pub use delete::{Preconditions, Propagation};
pub(crate) use draft::Draft;
pub use list::{ListQuery, Page};
pub use live::Live;
pub(crate) use live::parse;
pub use manifest::Manifest;
use outbox::Outbox;
pub use patch::PatchType;
pub use watch::{WatchEvent, WatchQuery, WatchStream};
pub use write::{Outcome, Written};

/// Carries out verbs on objects. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    keyring: Arc<Keyring>,
    outbox: Arc<Outbox>,
    sources: Sources,
}

/// How a write is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Who owns the fields that are set.
    pub manager: String,
    /// Do everything but commit.
    pub dry_run: bool,
    /// Apply only: take fields over from others instead of reporting a conflict.
    pub force: bool,
}

/// Which object a call is about.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its kind.
    pub kind: &'static KindInfo,
    /// Its name.
    pub name: &'a str,
}

impl Target<'_> {
    fn subject(self) -> Subject {
        Subject::new(self.kind.plural, self.name)
    }
}

/// Which part of an object a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The object; its status is left alone.
    Main,
    /// The status; everything else is left alone.
    Status,
}

impl Part {
    /// Reads the `subresource` of a request.
    pub fn parse(kind: &KindInfo, subresource: &str) -> Result<Self, ApiError> {
        match subresource {
            "" => Ok(Self::Main),
            "status" if kind.status => Ok(Self::Status),
            other => Err(ApiError::BadRequest(format!(
                "{} have no subresource {other:?}, allowed: {}",
                kind.plural,
                if kind.status {
                    "none or \"status\""
                } else {
                    "none"
                }
            ))),
        }
    }

    fn subresource(self) -> Option<&'static str> {
        match self {
            Self::Main => None,
            Self::Status => Some("status"),
        }
    }
}

/// What a caller's rights say about a change once its result is known: granting more than one holds,
/// blocking the deletion of what one may not change.
pub trait Gate: Send + Sync {
    /// Refuses the change from `live` to `next`, or lets it pass while what is returned holds.
    fn check(
        &self,
        view: &View,
        kind: &'static KindInfo,
        live: Option<&Value>,
        next: &Value,
    ) -> Result<Vec<Condition>, ApiError>;
}

/// The gate of the cluster's own loops: everything passes.
pub struct Unrestricted;

impl Gate for Unrestricted {
    fn check(
        &self,
        _view: &View,
        _kind: &'static KindInfo,
        _live: Option<&Value>,
        _next: &Value,
    ) -> Result<Vec<Condition>, ApiError> {
        Ok(Vec::new())
    }
}

impl Engine {
    /// An engine over `store`; `keyring` seals what is secret.
    pub fn new(store: Store, keyring: Arc<Keyring>) -> Self {
        Self::with_sources(store, keyring, Sources::default())
    }

    /// The same, with a time and random numbers of the caller's.
    pub fn with_sources(store: Store, keyring: Arc<Keyring>, sources: Sources) -> Self {
        Self {
            store,
            keyring,
            outbox: Arc::default(),
            sources,
        }
    }

    /// Where its time and its random numbers come from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A state that includes every write acknowledged before this call.
    pub(crate) async fn fresh_view(&self) -> Result<View, ApiError> {
        self.store.barrier().await?;
        Ok(self.store.view())
    }
}

/// The kind that a request names, by kind, plural, singular or short name.
pub fn find_kind(name: &str) -> Result<&'static KindInfo, ApiError> {
    quorate_crds::find(name).ok_or_else(|| ApiError::UnknownKind {
        found: name.to_owned(),
        suggestion: quorate_crds::kinds()
            .iter()
            .map(|info| info.kind)
            .min_by_key(|kind| distance(&kind.to_lowercase(), &name.to_lowercase()))
            .filter(|kind| distance(&kind.to_lowercase(), &name.to_lowercase()) <= 3)
            .map(str::to_owned),
    })
}

fn subject(kind: &KindInfo, name: &str) -> Subject {
    Subject::new(kind.plural, name)
}

/// The resourceVersion in a request; empty means none.
fn parse_version(text: &str) -> Result<Option<Revision>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        ApiError::BadRequest(format!(
            "resourceVersion {text:?} is not one that this server issued; leave it out or take it from a reply"
        ))
    })
}

/// How many letters must change to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
