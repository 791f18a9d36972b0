//! What the leader knows: all objects that decisions rest on, kept up to date change by change.

use std::sync::Arc;

use quorate_crds::KindInfo;
use quorate_planner::ClusterState;
use quorate_store::{Change, Revision, View};

use crate::{
    entries::entries,
    resource::{find_kind, parse},
};

/// The cluster as of one revision.
pub(super) struct Picture {
    pub(super) state: ClusterState,
    pub(super) revision: Revision,
}

impl Picture {
    /// Everything in `view`.
    pub(super) fn of(view: &View) -> Self {
        let mut picture = Self {
            state: ClusterState::default(),
            revision: view.revision(),
        };
        for kind in quorate_crds::kinds().iter().filter(|kind| matters(kind)) {
            for (key, stored) in entries(view, kind.plural) {
                picture.put(kind, &key.name, &stored.value);
            }
        }
        picture
    }

    /// Takes in what has happened since, up to `revision`.
    pub(super) fn take(&mut self, changes: &[Arc<Change>], revision: Revision) {
        for change in changes {
            let Ok(kind) = find_kind(change.key.bucket.as_str()) else {
                continue;
            };
            if !matters(kind) {
                continue;
            }
            match &change.value {
                Some(value) => self.put(kind, &change.key.name, value),
                None => {
                    self.state.remove(kind.kind, &change.key.name);
                }
            }
        }
        self.revision = revision;
    }

    /// An object that cannot be read is as it was before: one broken object must not stop all others.
    fn put(&mut self, kind: &KindInfo, name: &str, value: &bytes::Bytes) {
        let put = parse(kind, name, value)
            .map_err(|error| error.to_string())
            .and_then(|object| self.state.put(&object).map_err(|error| error.to_string()));
        if let Err(error) = put {
            tracing::warn!(
                error,
                kind = kind.kind,
                name,
                "the planner passes over an object"
            );
        }
    }
}

/// Secrets are none of the planner's business, and events rest on everything else.
fn matters(kind: &KindInfo) -> bool {
    !matches!(kind.kind, "Secret" | "Event" | "Role" | "RoleBinding")
}
