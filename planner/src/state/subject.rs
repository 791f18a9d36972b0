//! What a record of a plan is about.

use quorate_crds::{Name, ObjectReference};

/// The kinds that records assign to hosts, in the order in which they are made so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectKind {
    /// A Volume: the replica that a host keeps.
    Volume,
    /// A VirtualMachine.
    Guest,
}

/// An object that records assign.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Its name.
    pub name: String,
}

impl SubjectKind {
    /// The kind's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volume => "Volume",
            Self::Guest => "VirtualMachine",
        }
    }
}

impl Subject {
    /// The guest of that name.
    #[must_use]
    pub fn guest(name: &str) -> Self {
        Self {
            kind: SubjectKind::Guest,
            name: name.to_owned(),
        }
    }

    /// The volume of that name.
    #[must_use]
    pub fn volume(name: &str) -> Self {
        Self {
            kind: SubjectKind::Volume,
            name: name.to_owned(),
        }
    }

    pub(crate) fn of(object: &ObjectReference) -> Option<Self> {
        match object.kind.as_str() {
            "Volume" => Some(Self::volume(object.name.as_str())),
            "VirtualMachine" => Some(Self::guest(object.name.as_str())),
            _ => None,
        }
    }

    pub(crate) fn reference(&self) -> ObjectReference {
        ObjectReference {
            kind: self.kind.as_str().to_owned(),
            name: Name(self.name.clone()),
            uid: None,
        }
    }
}
