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
    Migrating, "The guest is being moved while it runs.",
        "Wait; `quorate vm migrate --cancel` gives it up.";
    Migrated, "The guest was moved here while it ran.",
        "Nothing.";
    Restarted, "The guest was stopped and started again.",
        "Nothing.";
    RestartWanted, "A restart was asked for.",
        "Nothing.";
    StopWaits, "The whole cluster is being stopped; guests that were started after this one are stopped before it.",
        "Wait.";
    Drained, "Its host is to be empty.",
        "Nothing; `quorate node uncordon` lets guests return to the host.";
    FailedBack, "A host that its failover domain prefers is back.",
        "Nothing; set `failback: false` in the domain when guests shall stay.";
    CutOff, "Its host does not reach a network that it needs.",
        "Repair the network on that host.";
    Rebalanced, "Another host suits it more than its stickiness holds it.",
        "Nothing; raise `placement.stickiness` when it shall stay.";
    CannotMove, "It should be elsewhere, and cannot be moved; the message says why.",
        "Remove the obstacle, or stop the guest.";
    MigrationWaits, "Its move waits: for its turn, for a host that fits, for its storage, or after a move that came to nothing.",
        "Wait, or remove what the message names.";
    MigrationFailed, "The move came to nothing; the message says what the guest does now.",
        "Remove what the message names, and move it again.";
    MigrationTimedOut, "The move took longer than allowed; the guest runs where it was.",
        "Give it more time or bandwidth, or set `onTimeout: Suspend`.";
    MigrationCancelled, "The move was given up; the guest runs where it was.",
        "Nothing.";
    StopWanted, "The guest is to be off.",
        "Nothing; set `desiredState: Running` to start it.";
    NotManaged, "The guest, its host or the whole cluster is left alone.",
        "Set `managed: true`, or withdraw the maintenance, when Quorate shall act again.";
    NoHostFits, "No host can take the guest; the message says why for each of them.",
        "Remove the obstacle that the message names on one of the hosts.";
    HostsAvailable, "Hosts of the failover domain can take guests.",
        "Nothing.";
    NoHostAvailable, "No host of the failover domain can take guests now. Guests that are restricted to it wait.",
        "Bring one of its hosts back or uncordon it, or add a host to the domain.";
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
    StartDelayed, "Its turn came; it is started after its `start.delay`.",
        "Wait.";
    StartLimit, "Enough guests are starting on its host at present.",
        "Wait; raise `Cluster.spec.recovery` when the hosts can do more.";
    RestartedInPlace, "It failed and was started again where it was.",
        "Look at the guest's log.";
    RestartBackOff, "It failed again and is restarted after a pause that doubles from time to time.",
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
    VoteNeeded, "The host is silent, its member answers, and without its vote nothing could be decided any more.",
        "Look at `quorate-lease` on the host and at the network between it and the leader; bring another member back, or add a witness. It is fenced as soon as its vote can be spared.";
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
        "Repair the network between the leader and that host, or give the leadership to the other member: `quorate cluster transfer`.";
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
        "Bring the missing members back, or add one: `quorate cluster join-token create member`.";
    AllWell, "Every host that shall be there is online.",
        "Nothing.";
    HostsMissing, "A host that shall be there is not online; the message names it.",
        "Look at that host: `quorate describe node`.";
    ClusterInMaintenance, "Everything is left as it is.",
        "Set `maintenance: false` on the Cluster when Quorate shall act again.";
    NoRoom, "No choice of hosts has the space; the message shows the arithmetic.",
        "Make room, add a disk to the pool, or list other hosts.";
    NotSupported, "This release cannot do what the manifest asks for.",
        "Change the manifest as the message says, or upgrade.";
    InSync, "Every replica holds every write.",
        "Nothing.";
    Degraded, "A replica is missing or behind.",
        "Look at the host that keeps it; it catches up by itself when it is back.";
    CatchingUp, "A replica is behind and receives what it missed.",
        "Wait; `quorate get volumes` shows how far it is.";
    BeingMade, "The volume is new; no replica is complete yet.",
        "Wait. When it lasts, look at the pool on the hosts that keep it.";
    Growing, "A replica has not its new size yet.",
        "Wait. When it lasts, look at that host's plan: `quorate get nodeplans`.";
    Verifying, "Every block of the volume's replicas is compared.",
        "Wait. What runs goes on; the hosts' disks are busier.";
    Verified, "Every block was compared, and none differed.",
        "Nothing.";
    ReplicasDiffer, "Blocks of the replicas differed when they were compared.",
        "Look at the disks and the memory of both hosts, then replace one side's data: docs/storage.md, \"When replicas differ\".";
    VerifyBroken, "The comparison of the replicas ended before all was compared; the message says why.",
        "Nothing, when the hosts lost each other: it is begun anew within the hour. Else repair what the message names.";
    WritesFrozen, "A host that writes has lost a replica, and waits until that one is surely out of the way.",
        "Wait; when the other host cannot be fenced, see its fence operation.";
    WaitingForPeer, "The replicas that are there cannot know whether they hold every write.",
        "Start the other host, or look that it is off and confirm by `quorate node confirm-fenced`.";
    TakenDown, "The volume is closed and its replicas are taken down.",
        "Nothing; set `power: Running` on the Cluster when it shall start again.";
    DataNotReachable, "No replica that holds every write is there.",
        "Start a host that holds them.";
    Deleting, "It is going away.",
        "Wait; stop what still uses it.";
    SnapshotTaken, "The snapshot is there.",
        "Nothing.";
    SnapshotWaits, "The snapshot is not there at present; the message says what it waits for.",
        "Wait, or remove what the message names.";
    SourceWaits, "The volume cannot begin: what it is filled from is not there at present, or does not fit; the message says what it waits for.",
        "Wait, or correct what the message names.";
    SnapshotGone, "The snapshot was taken, and is not there any more.",
        "Delete it. It is not taken again by itself: it would show another moment.";
    Mounting, "A filesystem is about to be mounted.",
        "Wait. When it lasts, look at that host's plan: `quorate get nodeplans`.";
    Mounted, "The filesystem is mounted.",
        "Nothing.";
    Unmounting, "The filesystem is to be mounted nowhere, and is mounted still.",
        "Stop the guests that use it on the hosts that the message names.";
    Unmounted, "The filesystem is mounted nowhere, as its manifest says.",
        "Set `desiredState: Mounted` when it shall be used again.";
    FilesystemWithdrawn, "The filesystem has shut itself down on a host after an error, so that nothing worse happens to it.",
        "Wait until no guest is left on that host that uses it, then restart the host. Look at its disks; when it happens again, check the filesystem: docs/shared-filesystems.md.";
    SpaceLow, "Little space is left on the filesystem.",
        "Remove what is not needed, or raise the size of its volume: the filesystem grows with it.";
    SpaceLeft, "There is space left on the filesystem.",
        "Nothing.";
    Checking, "The filesystem is checked by one host; nobody mounts it meanwhile.",
        "Wait. The host's journal shows what is found: `journalctl -u quorate-node`.";
    CheckWaits, "A check was asked for and does not begin; the message says why.",
        "Do what the message says: a filesystem is checked only while no host may have it mounted.";
    CheckedClean, "The filesystem was checked, and nothing was found.",
        "Set `desiredState: Mounted` when it shall be used again.";
    CheckRepaired, "The filesystem was checked, and what was found was mended.",
        "Look what is in `lost+found`, and why it was damaged; then set `desiredState: Mounted`.";
    CheckFoundDamage, "The filesystem was checked and is not sound.",
        "Let it be mended: `quorate filesystem check NAME --repair`. Take a snapshot of its volume first.";
    CheckBroken, "The check did not come to its end; the message says why.",
        "Remove what the message names, and ask for it again. After a repair that was broken off nobody mounts the filesystem before another one has ended.";
    FileMissing, "A file of the guest is not where its manifest says; its host waits for it.",
        "Bring the file to the directory that the message names, or change the guest.";
    WaitingForVolume, "The filesystem's volume is not open yet.",
        "Look at the volume.";
    LocksFrozen, "The locks of the filesystem wait until its members are known for sure.",
        "Wait. When a member is silent, see its fence operation.";
    ProgramLocksShared, "POSIX and OFD locks of programs hold on all hosts that have the filesystem mounted.",
        "Nothing.";
    ProgramLocksRefused, "POSIX and OFD locks of programs are refused on the filesystem, because a host that has it mounted cannot settle them with the others.",
        "Upgrade the hosts that the message names. `flock` is not concerned.";
    NetworkReady, "The network works on every host that takes part.",
        "Nothing.";
    NetworkDown, "The network does not work on a host; the message names it.",
        "Look at the cards, the switch, and the addresses outside that must answer.";
    NetworkNotMade, "A host cannot make the network; the message says which, and what is in the way: for a host that has its own configuration, the steps that would be done.",
        "Do what the message says: name the card that is there, or take the former configuration over by hand.";
    NetworkChanging, "A change that could cut hosts off is made on one host after the other; the message says who is at work and who waits.",
        "Wait.";
    NetworkChangeWaits, "The next host is not changed yet, because something is not well, or because it still needs what is to be taken away; the message says what.",
        "Repair what the message names, correct the Network, or set that host to maintenance to go on without it.";
    NetworkRolledBack, "A host did not reach the cluster after the change, and took it back by itself; the hosts after it were not touched.",
        "Correct the Network; a change of `rollbackAfter` has the same tried once more.";
    CardsWork, "Every card of the network's bonds works.",
        "Nothing.";
    CardLost, "A card of a bond does not work; the bond goes on without it.",
        "Look at the cable, the card and the switch that the message names. One that is back is used after the bond's `upDelay`.";
    CardFlaps, "A card goes up and down.",
        "Replace its cable, or look at its port at the switch.";
    PathsWork, "Every host hears every other one over the network.",
        "Nothing.";
    PathBroken, "Between two hosts packets are lost on the network, or none passes.",
        "Look at the switches between them: VLAN, cables, errors; `quorate node links` shows all ways.";
    MtuPasses, "The largest packets of the network pass between all hosts.",
        "Nothing.";
    MtuTooLarge, "Large packets do not pass between two hosts, and small ones do.",
        "Let the switches pass `spec.mtu`, or make it smaller.";
    AddressesUnique, "Every host's address is answered for by that host.",
        "Nothing.";
    AddressTwice, "Another machine answers for a host's address.",
        "Find the machine by the hardware address in the message, and take the address away from it.";
    CardsClean, "The network's cards damage no packets.",
        "Nothing.";
    CardErrs, "A card of the network damages packets, or runs at half duplex; the message names it.",
        "Look at the card, its cable and the port of the switch: `ip -s -s link`, `ethtool`; set both ends to negotiate.";
    NamesUnique, "Every name that hosts know without a name server stands for one address.",
        "Nothing.";
    NameTwice, "A name stands for several addresses; the message says for which. It is not written to the hosts' `/etc/hosts`.",
        "Correct `Cluster.spec.hostAliases`, give the network another `hostSuffix`, or the host one board only.";
    FirewallKept, "The hosts' firewalls are as the Network says.",
        "Nothing.";
    FirewallNotKept, "A host's firewall is not as the Network says; the message says why.",
        "Install `nftables` on it, or remove what the message names; `firewall.enabled: false` does without.";
    ClocksAgree, "The host's clock agrees with most of the others'.",
        "Nothing.";
    ClockApart, "The host's clock is apart from most of the others'.",
        "Look at its time server: `chronyc tracking` or `timedatectl`. Nothing that keeps guests safe rests on it; certificates and logs do.";
    PoolReady, "Every host's part of the pool is sound.",
        "Nothing.";
    PoolIncomplete, "A host's part of the pool is missing or lacks a disk.",
        "Repair the disk, or take the host from the pool.";
    Draining, "The host is being emptied; the message says what is still on it.",
        "Wait. A guest that cannot be moved says why: `quorate why vm/NAME`.";
    DrainBlocked, "The host is being emptied, and guests on it cannot be moved; the message says which, and why.",
        "Remove the obstacle, or stop the guest: `quorate vm stop NAME`.";
    Emptied, "The host is empty.",
        "Work on it, or let it leave.";
    SplitBrain, "Both sides have written.",
        "Choose the victim: `spec.resolve`.";
    FenceAtWork, "A fence operation is at work on its levels.",
        "Wait.";
    FenceLevelFails, "A fence level failed, or would fail; the message says which device and how.",
        "Repair the device that the message names, then `quorate fence test`.";
    ConfirmedOff, "Every device of one level says that the host is off, asked after all were switched.",
        "Nothing; look why the host was lost.";
    WatchdogFired, "The host's watchdog has surely reset it since its last lease.",
        "Nothing; look why the host was lost.";
    ConfirmedByPerson, "A person has confirmed by name that the host is off.",
        "Nothing; repair the host before it is switched on.";
    NewBoot, "The host has booted again, which proves its former incarnation dead.",
        "Nothing.";
    ConfirmationRefused, "A confirmation was not accepted; the message says why.",
        "Look again, and confirm anew what the message asks for.";
    FenceTestPassed, "Every device that was tested answers.",
        "Nothing.";
    FenceTestFailed, "A device that was tested does not answer, or there was nothing to test.",
        "Repair what the message names and test again.";
    PowerReturned, "The devices of a fenced host were told to switch it on.",
        "Nothing.";
    PowerNotReturned, "A fenced host could not be switched on.",
        "Switch it on by hand, and repair the device that the message names.";
    FenceLevelsReady, "Every fence level that was asked would work.",
        "Nothing.";
    NoFenceLevelReady, "No fence level of the host would work at present.",
        "Repair one of the devices that the message names; until then the host cannot be fenced.";
    DeviceAnswers, "The fence device answers.",
        "Nothing.";
    DeviceFails, "The fence device does not answer, or refuses.",
        "Look at its power, network and password; the message has the agent's own words.";
    DeviceMisconfigured, "The fence device's manifest cannot work; the message says what is wrong.",
        "Change the FenceDevice as the message says; it is asked again at once.";
    DeviceNotAsked, "The fence device was not asked yet.",
        "Wait a minute, or `quorate fence test`.";
    NothingToAsk, "The fence device is a watchdog or a person and cannot be asked.",
        "Nothing.";
    PretendsOnly, "The fence device only pretends to switch hosts off.",
        "Use it for tests alone; replace it by a real device.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
