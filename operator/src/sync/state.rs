//! How far an object has come, as its condition `Synced` says it.

use std::fmt;

/// The condition that the operator adds to what the cluster says.
pub const SYNCED: &str = "Synced";

/// How far an object has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synced {
    /// The cluster has what Kubernetes asks for.
    Yes {
        /// Fields for which nothing but the default is asked, and which others have set in the cluster.
        left_to_others: String,
    },
    /// The first step is being taken.
    Beginning,
    /// Others own fields with other values.
    Conflict {
        /// The fields with their owners.
        fields: String,
    },
    /// The cluster does not take it.
    Refused {
        /// One word for programs.
        reason: String,
        /// What the cluster said.
        message: String,
    },
    /// The cluster does not answer, or is not known.
    Unreachable {
        /// Why.
        message: String,
    },
    /// The configuration has no such cluster.
    UnknownCluster {
        /// What is wrong and what to do.
        message: String,
    },
    /// Another object in Kubernetes stands for the same one.
    Duplicate {
        /// That one's name.
        of: String,
    },
    /// The object says now that it belongs elsewhere.
    Moved {
        /// Where it is.
        from: String,
    },
    /// Somebody deleted it in the cluster.
    DeletedInCluster,
    /// Somebody deleted it in the cluster and made another one of the same name.
    ReplacedInCluster,
    /// It is being deleted in the cluster.
    Deleting,
}

impl Synced {
    /// `True`, `False` or `Unknown`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Yes { .. } => "True",
            Self::Beginning | Self::Unreachable { .. } => "Unknown",
            _ => "False",
        }
    }

    /// One word for programs.
    pub fn reason(&self) -> &str {
        match self {
            Self::Yes { .. } => "Synced",
            Self::Beginning => "Beginning",
            Self::Conflict { .. } => "Conflict",
            Self::Refused { reason, .. } => reason,
            Self::Unreachable { .. } => "ClusterUnreachable",
            Self::UnknownCluster { .. } => "UnknownCluster",
            Self::Duplicate { .. } => "Duplicate",
            Self::Moved { .. } => "Moved",
            Self::DeletedInCluster => "DeletedInCluster",
            Self::ReplacedInCluster => "ReplacedInCluster",
            Self::Deleting => "Deleting",
        }
    }
}

impl fmt::Display for Synced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes { left_to_others } if left_to_others.is_empty() => {
                f.write_str("the cluster has what this object asks for")
            }
            Self::Yes { left_to_others } => write!(
                f,
                "the cluster has what this object asks for; where it asks for the default, others have set {left_to_others}"
            ),
            Self::Beginning => f.write_str("on its way to the cluster"),
            Self::Conflict { fields } => write!(
                f,
                "others set these fields in the cluster to other values: {fields}; leave them out here, write the values that \
                 they have there, or have their owners leave them out"
            ),
            Self::Refused { message, .. }
            | Self::Unreachable { message }
            | Self::UnknownCluster { message } => f.write_str(message),
            Self::Duplicate { of } => write!(
                f,
                "{of:?} stands for the same object of the cluster and is older; delete one of the two, or give this one \
                 another name there with the annotation {}",
                super::names::NAME_ANNOTATION
            ),
            Self::Moved { from } => write!(
                f,
                "it has become {from} and does not follow its label or annotation elsewhere; put them back, or delete it and \
                 make it anew"
            ),
            Self::DeletedInCluster => write!(
                f,
                "somebody deleted it in the cluster, and it is not made anew by itself; delete it here too, or remove the \
                 annotation {} to have it made again",
                super::names::MIRRORED_ANNOTATION
            ),
            Self::ReplacedInCluster => write!(
                f,
                "somebody deleted it in the cluster and made another one of this name; delete it here, or remove the \
                 annotation {} to let this object stand for the new one",
                super::names::MIRRORED_ANNOTATION
            ),
            Self::Deleting => f.write_str("the cluster is deleting it"),
        }
    }
}
