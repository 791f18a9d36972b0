//! The gRPC contract of Quorate.
//!
//! The `.proto` files under `proto/quorate/` are the source; the code under `src/generated/` is made
//! from them by `make fix` and checked in, so that building Quorate needs no protobuf compiler.
//! `tests/generated_is_current.rs` keeps the two in step.

/// The public API: objects, the cluster, identity.
pub mod api {
    /// Version 1 of the public API.
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        include!("generated/quorate.api.v1.rs");
    }
}

/// What a host and the cluster say to each other.
pub mod host {
    /// Version 1 of the hosts' protocol.
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        include!("generated/quorate.host.v1.rs");
    }
}

/// What members ask each other beside replication.
pub mod member {
    /// Version 1 of the members' questions.
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        include!("generated/quorate.member.v1.rs");
    }
}

pub mod client;
pub mod heartbeat;
pub mod refusal;

/// How members replicate their log.
pub mod raft {
    /// Version 1 of the members' transport.
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        include!("generated/quorate.raft.v1.rs");
    }
}

/// The compiled descriptors of every service, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");

/// The port that a member listens on when nothing else is said.
pub const DEFAULT_PORT: u16 = 7443;

/// The highest feature level that this release understands, whichever of its programs speaks.
pub const FEATURE_LEVEL: u32 = 1;
