//! Every parser of foreign input, as a function over bytes.
//!
//! Foreign is what a person, another machine or a disk hands us: manifests, patches, selectors, tokens,
//! certificates, requests to the Kubernetes face, frames from other members, log segments, backups, the reports of a host's own programs, its kernel's
//! questions for locks and what other hosts say about them. A target must not panic, and where
//! something can be said about the result it is asserted: what parses once parses again to the same.
//!
//! `tests/random_input.rs` runs them all in `make test`; `libfuzzer/` wraps them for coverage-guided runs.

mod keys;
mod kinds;
mod locks;
mod rest;
mod store;
mod tools;

/// A parser under test.
pub struct Target {
    /// Its name, also that of the libFuzzer binary.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// Well-formed inputs to start from.
    pub seeds: &'static [&'static [u8]],
    /// How many inputs it is given where the others are given one.
    pub weight: u64,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "manifest",
        run: kinds::manifest,
        seeds: kinds::MANIFESTS,
        weight: 1,
    },
    Target {
        name: "object",
        run: kinds::object,
        seeds: kinds::MANIFESTS,
        weight: 1,
    },
    Target {
        name: "schema",
        run: kinds::schema,
        seeds: &[include_bytes!(
            "../../crds/generated/schemas/failoverdomains.json"
        )],
        weight: 1,
    },
    Target {
        name: "merge",
        run: kinds::merge,
        seeds: kinds::MANIFESTS,
        weight: 1,
    },
    Target {
        name: "field_set",
        run: kinds::field_set,
        seeds: &[br#"{"f:spec":{"f:disks":{"k:{\"name\":\"root\"}":{".":{},"f:size":{}}},"f:set":{"v:\"a\"":{}}}}"#],
        weight: 1,
    },
    Target {
        name: "selectors",
        run: kinds::selectors,
        seeds: &[b"app=web,tier!=db,env in (a,b),!legacy", b"metadata.name=web,spec.node!=an01"],
        weight: 1,
    },
    Target {
        name: "scalars",
        run: kinds::scalars,
        seeds: &[b"2Gi", b"1m30s", b"0.5e3", b"-12.5Ki"],
        weight: 1,
    },
    Target {
        name: "join_token",
        run: keys::join_token,
        seeds: &[b"quorate1.abc.def.ghi"],
        weight: 1,
    },
    Target {
        name: "certificate",
        run: keys::certificate,
        seeds: &[],
        weight: 1,
    },
    Target {
        name: "keyring",
        run: keys::keyring,
        seeds: &[b"q1:k1:AAAA"],
        weight: 1,
    },
    Target {
        name: "continue_token",
        run: kinds::continue_token,
        seeds: &[],
        weight: 1,
    },
    Target {
        name: "rest",
        run: rest::request,
        seeds: &[],
        weight: 10,
    },
    Target {
        name: "member_frame",
        run: store::member_frame,
        seeds: &[&[1, 10, 4, 8, 1, 16, 1], &[6, 10, 2, 10, 0]],
        weight: 1,
    },
    Target {
        name: "log_segment",
        run: store::log_segment,
        seeds: &[],
        weight: 1,
    },
    Target {
        name: "backup",
        run: store::backup,
        seeds: &[],
        weight: 1,
    },
    Target {
        name: "lvm_report",
        run: tools::lvm_report,
        seeds: &[
            include_bytes!("../../node-daemon/tests/recorded/lvm/fullreport.json"),
            include_bytes!("../../node-daemon/tests/recorded/lvm/wipefs-member.json"),
        ],
        weight: 1,
    },
    Target {
        name: "drbd_events",
        run: tools::drbd_events,
        seeds: &[
            include_bytes!("../../node-daemon/tests/recorded/drbd-8.4/drbdsetup-events2.txt"),
            include_bytes!("../../node-daemon/tests/recorded/drbd-8.4/drbdadm-version.txt"),
        ],
        weight: 1,
    },
    Target {
        name: "lock_word",
        run: locks::word,
        seeds: locks::WORDS,
        weight: 1,
    },
    Target {
        name: "lock_question",
        run: locks::question,
        seeds: locks::QUESTIONS,
        weight: 1,
    },
];

/// A well-formed input with some bytes changed: every three bytes of `changes` are a place and a value.
/// Checksummed formats refuse random bytes at once; this gets deeper.
fn changed(well_formed: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = well_formed.to_vec();
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(place) {
            *byte = change[2];
        }
    }
    bytes
}
