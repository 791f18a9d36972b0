//! What a record of a plan is about.

use quorate_crds::{Assignment, Name, ObjectReference};

/// What records assign to hosts, in the order in which it is made so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectKind {
    /// A Network on a host.
    Network,
    /// A host's part of a StoragePool.
    Pool,
    /// A Volume: the replica that a host keeps.
    Volume,
    /// A VolumeSnapshot.
    Snapshot,
    /// The local filesystem of a Volume.
    Mount,
    /// A SharedFilesystem.
    Filesystem,
    /// A VirtualMachine.
    Guest,
}

/// An object that records assign.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// Its name.
    pub name: String,
}

/// A subject, looked up by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'s> {
    pub(crate) kind: SubjectKind,
    pub(crate) name: &'s str,
}

impl<'s> About<'s> {
    pub(crate) fn guest(name: &'s str) -> Self {
        Self::new(SubjectKind::Guest, name)
    }

    pub(crate) fn volume(name: &'s str) -> Self {
        Self::new(SubjectKind::Volume, name)
    }

    fn new(kind: SubjectKind, name: &'s str) -> Self {
        Self { kind, name }
    }
}

impl<'s> From<&'s Subject> for About<'s> {
    fn from(subject: &'s Subject) -> Self {
        Self::new(subject.kind, &subject.name)
    }
}

impl SubjectKind {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::Guest as usize + 1;

    /// The name of the object's kind.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "Network",
            Self::Pool => "StoragePool",
            Self::Volume | Self::Mount => "Volume",
            Self::Snapshot => "VolumeSnapshot",
            Self::Filesystem => "SharedFilesystem",
            Self::Guest => "VirtualMachine",
        }
    }

    /// What it is called in the names of records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Pool => "storagepool",
            Self::Volume => "volume",
            Self::Snapshot => "volumesnapshot",
            Self::Mount => "mount",
            Self::Filesystem => "sharedfilesystem",
            Self::Guest => "virtualmachine",
        }
    }
}

impl Subject {
    /// The guest of that name.
    #[must_use]
    pub fn guest(name: &str) -> Self {
        Self::new(SubjectKind::Guest, name)
    }

    /// The volume of that name.
    #[must_use]
    pub fn volume(name: &str) -> Self {
        Self::new(SubjectKind::Volume, name)
    }

    /// That subject.
    #[must_use]
    pub fn new(kind: SubjectKind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
        }
    }

    pub(crate) fn of(assignment: &Assignment) -> Option<Self> {
        let kind = match assignment.object.kind.as_str() {
            "Network" => SubjectKind::Network,
            "StoragePool" => SubjectKind::Pool,
            "Volume" if assignment.mount.is_some() => SubjectKind::Mount,
            "Volume" => SubjectKind::Volume,
            "VolumeSnapshot" => SubjectKind::Snapshot,
            "SharedFilesystem" => SubjectKind::Filesystem,
            "VirtualMachine" => SubjectKind::Guest,
            _ => return None,
        };
        Some(Self::new(kind, assignment.object.name.as_str()))
    }

    pub(crate) fn reference(&self) -> ObjectReference {
        ObjectReference {
            kind: self.kind.as_str().to_owned(),
            name: Name(self.name.clone()),
            uid: None,
        }
    }
}
