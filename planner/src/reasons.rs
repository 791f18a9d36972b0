//! Every reason that a decision may give, in one closed list, with what to do about it.

use std::fmt;

macro_rules! reasons {
    ($($name:ident, $meaning:literal, $advice:literal;)*) => {
        /// Why something is as it is, as one word for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All of them, in the order of the book.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// What it means.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }

            /// What a person can do about it.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice),* }
            }
        }
    };
}

reasons! {
    Placed, "The guest has its host.",
        "Nothing.";
    Running, "The guest runs.",
        "Nothing.";
    StopWanted, "The guest is to be off.",
        "Nothing; set `desiredState: Running` to start it.";
    NotManaged, "The guest, its host or the whole cluster is left alone.",
        "Set `managed: true`, or withdraw the maintenance, when Quorate shall act again.";
    NoHostFits, "No host can take the guest; the message says why for each of them.",
        "Remove the obstacle that the message names on one of the hosts.";
    WaitingForFence, "A host that may still run it is silent and not yet confirmed off.",
        "Wait for the fence operation. When it is blocked, repair the fence device, or look and confirm by `quorate node confirm-fenced`.";
    WaitingForRelease, "Another host has not yet said that it let go.",
        "Wait. When it lasts, look at that host's plan: `quorate get nodeplans`.";
    HostAway, "The host that holds it left, or has not come back yet, without having said that it let go.",
        "Start the host again, or look that it is off and confirm by `quorate node confirm-fenced`.";
    NotProtected, "Its host was lost, and it is not to be recovered.",
        "Set `protected: true`, or wait for the host.";
    WaitingForGuest, "A guest that it is started after does not run yet.",
        "Start that guest, or remove it from `start.after`.";
    StartCycle, "Guests wait for each other in a circle.",
        "Remove one of the guests from `start.after`.";
    StartLimit, "Enough guests are starting on its host at present.",
        "Wait; raise `Cluster.spec.recovery` when the hosts can do more.";
    RestartedInPlace, "It failed and was started again where it was.",
        "Look at the guest's log.";
    Relocated, "It failed too often where it was.",
        "Look why it fails on the former host.";
    Recovered, "Its former host was lost and is confirmed off.",
        "Repair the former host.";
    RecoveryExhausted, "It failed too often on every host that may run it.",
        "Repair the guest. It is tried again when the failures are older than the window, and at once after a change to its spec.";
    StaysDown, "It crashed, and is to stay as it is.",
        "Look at it, then stop and start it.";
    PoweredOffInside, "It was switched off from inside.",
        "Start it when it is wanted again.";
    FenceRequested, "The host is silent and is being made safe.",
        "Wait.";
    FenceWaits, "The host is silent; others are fenced first.",
        "Wait; `Cluster.spec.fencing.maxAtOnce` limits how many are fenced together.";
    FenceBlocked, "Every fence level has failed; it is tried again.",
        "Repair a fence device, or look that the host is off and confirm by `quorate node confirm-fenced`.";
    CannotFence, "The host has no fence level.",
        "Look that it is off and confirm by `quorate node confirm-fenced`.";
    Fenced, "The host is confirmed off.",
        "Repair it and switch it on.";
    Online, "The host is heard and may start things.",
        "Nothing.";
    Joining, "The host has registered and is not heard yet.",
        "Wait. When it lasts, look whether its heartbeats (UDP, on the members' port) reach the leader.";
    SilentOnAllRings, "No ring brings the host's heartbeats.",
        "Wait: it is made safe first, then what it held is recovered. Then look why it went.";
    HeardElsewhere, "The leader does not hear the host, and another member does.",
        "Repair the network between the leader and that host, or give the leadership to the other member: `quorate cluster transfer-leader`.";
    LeftInOrder, "The host left and holds nothing.",
        "Start `quorate-node` on it when it shall come back.";
    EvidenceContradicted, "The host was confirmed off and is heard nevertheless.",
        "Look which outlet or machine the fence device really switches: `quorate fence test`. The host is made safe anew.";
    RingSilent, "A ring does not bring the host's heartbeats, another one does.",
        "Repair that network. Nothing is fenced as long as one ring works.";
    DaemonSilent, "The host is heard, and its daemon does not work.",
        "Look at `journalctl -u quorate-node` on the host. What runs there runs on, and nothing new is started.";
    QuorumPresent, "A majority of the members is there.",
        "Nothing.";
    NoSpareMember, "The loss of one more member stops the cluster.",
        "Bring the missing members back, or add one: `quorate cluster invite`.";
    AllWell, "Every host that shall be there is online.",
        "Nothing.";
    HostsMissing, "A host that shall be there is not online; the message names it.",
        "Look at that host: `quorate describe node`.";
    ClusterInMaintenance, "Everything is left as it is.",
        "Set `maintenance: false` on the Cluster when Quorate shall act again.";
    NoRoom, "No choice of hosts has the space; the message shows the arithmetic.",
        "Make room, add a disk to the pool, or list other hosts.";
    InSync, "Every replica holds every write.",
        "Nothing.";
    Degraded, "A replica is missing or behind.",
        "Look at the host that keeps it; it catches up by itself when it is back.";
    SplitBrain, "Both sides have written.",
        "Choose the victim: `spec.resolve`.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
