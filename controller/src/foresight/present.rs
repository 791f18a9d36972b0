//! Everything that decisions rest on, as of one view.

use quorate_crds::KindInfo;
use quorate_planner::{ClusterState, Leader, Objects};
use quorate_store::{Bucket, View};

use crate::{error::ApiError, resource::parse};

/// Kinds of which the planner knows nothing; a Secret must not even be opened.
const NO_PART: [&str; 4] = ["Event", "Secret", "Role", "RoleBinding"];

/// The state and who would decide about it.
pub(super) struct Present {
    pub(super) objects: Objects,
    pub(super) leader: Leader,
}

impl Present {
    pub(super) fn of(view: &View, leader: Leader) -> Result<Self, ApiError> {
        let mut objects = Objects::new();
        for kind in quorate_crds::kinds().iter().filter(|kind| counts(kind)) {
            for (key, stored) in view.list(&Bucket::new(kind.plural), None, usize::MAX) {
                let object = parse(kind, &key.name, &stored.value)?;
                objects.insert((kind.kind.to_owned(), key.name.to_string()), object);
            }
        }
        Ok(Self { objects, leader })
    }

    pub(super) fn state(&self) -> Result<ClusterState, ApiError> {
        ClusterState::of(self.objects.values()).map_err(|error| unreadable(&error))
    }
}

/// Whether an object of this kind can change what the planner decides.
pub(super) fn counts(kind: &KindInfo) -> bool {
    !NO_PART.contains(&kind.kind)
}

/// An object that was stored and is not what its kind says.
pub(super) fn unreadable(error: &quorate_planner::StateError) -> ApiError {
    let source = std::error::Error::source(error);
    ApiError::Internal(match source {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}
