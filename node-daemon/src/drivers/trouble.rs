use std::fmt;

/// What is wrong on a host, as one word: the reason of the condition `Stalled` of a record, or of a host's own
/// conditions. The book lists each with what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// A program or kernel module that the subsystem needs is not on this host, or too old.
    NotInstalled,
    /// The subsystem refused for a reason of its own; its words are in the message.
    Refused,
    /// It made no progress for too long and was given up.
    TimedOut,
    /// Its answer could not be understood.
    UnknownAnswer,
    /// Something is there that is not ours, where ours should be.
    ForeignInTheWay,
    /// A disk, card, device or volume group is not there.
    DeviceMissing,
    /// A device reports errors.
    DeviceFailed,
    /// Something still uses it.
    InUse,
    /// There is no room for it.
    NoSpace,
    /// The replica's data is not known to be current.
    NotCurrent,
    /// Both sides have written; a person must choose.
    SplitBrain,
    /// Another host does not answer.
    PeerUnreachable,
    /// After the change the cluster could not be reached, and the change was taken back.
    RolledBack,
    /// This release cannot do what the plan asks for.
    NotSupported,
    /// Its acts succeed, and what is seen afterwards is still not what was planned.
    DoesNotConverge,
    /// A guest crashed, or hung.
    GuestCrashed,
    /// A guest was switched off from inside.
    GuestPoweredOff,
    /// A guest could not be started, or was stopped by somebody else.
    GuestNotRunning,
    /// A guest did not stop when it was asked to.
    GuestDoesNotStop,
    /// A live migration ended without success; the guest is where it was.
    MigrationFailed,
    /// The host has no fresh lease: it starts and activates nothing.
    NoLease,
    /// What must be so before is not so yet.
    WaitsForOthers,
    /// A file that a guest needs is not where its manifest says.
    FileMissing,
}

impl Trouble {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::NotInstalled,
        Self::Refused,
        Self::TimedOut,
        Self::UnknownAnswer,
        Self::ForeignInTheWay,
        Self::DeviceMissing,
        Self::DeviceFailed,
        Self::InUse,
        Self::NoSpace,
        Self::NotCurrent,
        Self::SplitBrain,
        Self::PeerUnreachable,
        Self::RolledBack,
        Self::NotSupported,
        Self::DoesNotConverge,
        Self::GuestCrashed,
        Self::GuestPoweredOff,
        Self::GuestNotRunning,
        Self::GuestDoesNotStop,
        Self::MigrationFailed,
        Self::NoLease,
        Self::WaitsForOthers,
        Self::FileMissing,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotInstalled => "NotInstalled",
            Self::Refused => "Refused",
            Self::TimedOut => "TimedOut",
            Self::UnknownAnswer => "UnknownAnswer",
            Self::ForeignInTheWay => "ForeignInTheWay",
            Self::DeviceMissing => "DeviceMissing",
            Self::DeviceFailed => "DeviceFailed",
            Self::InUse => "InUse",
            Self::NoSpace => "NoSpace",
            Self::NotCurrent => "NotCurrent",
            Self::SplitBrain => "SplitBrain",
            Self::PeerUnreachable => "PeerUnreachable",
            Self::RolledBack => "RolledBack",
            Self::NotSupported => "NotSupported",
            Self::DoesNotConverge => "DoesNotConverge",
            Self::GuestCrashed => "GuestCrashed",
            Self::GuestPoweredOff => "GuestPoweredOff",
            Self::GuestNotRunning => "GuestNotRunning",
            Self::GuestDoesNotStop => "GuestDoesNotStop",
            Self::MigrationFailed => "MigrationFailed",
            Self::NoLease => "NoLease",
            Self::WaitsForOthers => "WaitsForOthers",
            Self::FileMissing => "FileMissing",
        }
    }

    /// What a person does about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NotInstalled => {
                "Install what the message names on that host, or let other hosts do this work."
            }
            Self::Refused => {
                "Read the subsystem's own words in the message and remove the reason; it is tried again."
            }
            Self::TimedOut => {
                "Look at the load and at the device that the message names; it is tried again."
            }
            Self::UnknownAnswer => {
                "The program is probably of a version that Quorate does not know: report it."
            }
            Self::ForeignInTheWay => {
                "Remove or rename what is in the way, or name it in the manifest to take it over."
            }
            Self::DeviceMissing => "Plug it in, replace it, or correct its name in the manifest.",
            Self::DeviceFailed => {
                "Replace the device; the volume's other replicas serve meanwhile."
            }
            Self::InUse => "Find out what uses it (the message says) and end that.",
            Self::NoSpace => "Add space to the pool, or remove what is not needed.",
            Self::NotCurrent => {
                "Wait for the resync, or bring back the host that has the current data."
            }
            Self::SplitBrain => {
                "Decide whose data is given up, and name it in the Volume: `spec.resolve`."
            }
            Self::PeerUnreachable => "Look at the network between the two hosts.",
            Self::RolledBack => {
                "Correct the Network's manifest: as it stands the host cannot be reached with it."
            }
            Self::NotSupported => "Change the manifest, or upgrade that host.",
            Self::DoesNotConverge => {
                "Somebody else probably changes it back: find out who. It is tried again slowly; else report it."
            }
            Self::GuestCrashed => {
                "Nothing: the planner restarts or moves it. Look at the guest's own logs for why."
            }
            Self::GuestPoweredOff => "Start it when it is wanted: `quorate vm start`.",
            Self::GuestNotRunning => {
                "Read why in the message; the planner decides whether it is tried elsewhere."
            }
            Self::GuestDoesNotStop => {
                "Stop it from inside, or let it be switched off: `spec.shutdown.then: Destroy`."
            }
            Self::MigrationFailed => {
                "Read why in the message; nothing is lost, the guest runs where it was."
            }
            Self::NoLease => "Find out why the host does not reach the leader; what runs, runs on.",
            Self::WaitsForOthers => "Look at what the message names; this goes on by itself.",
            Self::FileMissing => {
                "Bring the file to the directory that the message names; this goes on by itself."
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Trouble;
    use std::collections::BTreeSet;

    #[test]
    fn every_trouble_has_a_word_of_its_own() {
        let words: BTreeSet<&str> = Trouble::ALL
            .iter()
            .map(|trouble| trouble.as_str())
            .collect();
        assert_eq!(words.len(), Trouble::ALL.len());
    }
}
