//! libvirt's flags, by the names of its own headers without their prefixes.

/// To the definition, to what runs, or to both.
pub mod affect {
    /// What runs.
    pub const LIVE: u32 = 1;
    /// The definition.
    pub const CONFIG: u32 = 2;
}

/// How XML is written.
pub mod xml {
    /// The definition, also while it runs.
    pub const INACTIVE: u32 = 2;
    /// As another host takes it.
    pub const MIGRATABLE: u32 = 8;
}

/// How a domain is started.
pub mod start {
    /// It stands still.
    pub const PAUSED: u32 = 1;
    /// From its disks, whatever memory was saved before.
    pub const FORCE_BOOT: u32 = 8;
}

/// How a domain is asked to shut down.
pub mod shutdown {
    /// By the power button.
    pub const BUTTON: u32 = 1;
    /// By the agent inside.
    pub const AGENT: u32 = 2;
}

/// How a console is opened.
pub mod console {
    /// Whoever has it open loses it.
    pub const FORCE: u32 = 1;
}

/// What goes with a definition.
pub mod undefine {
    /// Its saved memory.
    pub const MANAGED_SAVE: u32 = 1;
    /// What is known of its snapshots.
    pub const SNAPSHOTS: u32 = 2;
    /// The variables of its firmware are kept.
    pub const KEEP_NVRAM: u32 = 8;
    /// What is known of its checkpoints.
    pub const CHECKPOINTS: u32 = 16;
}

/// How a domain is moved.
pub mod migrate {
    /// While it runs.
    pub const LIVE: u32 = 1;
    /// The host that it leaves speaks to the other by itself.
    pub const PEER_TO_PEER: u32 = 2;
    /// It stays still at the other side.
    pub const PAUSED: u32 = 1 << 5;
    /// Nobody changes it meanwhile.
    pub const CHANGE_PROTECTION: u32 = 1 << 8;
    /// Also where libvirt does not know that the disks are shared.
    pub const UNSAFE: u32 = 1 << 9;
    /// Its memory is compressed.
    pub const COMPRESSED: u32 = 1 << 11;
    /// An error of a disk ends it.
    pub const ABORT_ON_ERROR: u32 = 1 << 12;
    /// A guest that writes too fast is slowed down.
    pub const AUTO_CONVERGE: u32 = 1 << 13;
    /// Its memory is encrypted on the way.
    pub const TLS: u32 = 1 << 16;
}

/// What happens, by number.
pub mod event {
    /// It starts, stops, pauses, goes on, crashes, is defined, is forgotten.
    pub const LIFECYCLE: i32 = 0;
    /// A disk gave an error.
    pub const IO_ERROR: i32 = 4;
    /// A drive was opened or closed.
    pub const TRAY_CHANGE: i32 = 10;
    /// A device is gone.
    pub const DEVICE_REMOVED: i32 = 15;
    /// The agent inside came or went.
    pub const AGENT_LIFECYCLE: i32 = 18;
    /// A device was added.
    pub const DEVICE_ADDED: i32 = 19;
    /// A move ended.
    pub const JOB_COMPLETED: i32 = 21;
}
