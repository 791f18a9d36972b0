//! When a host counts as lost, as the detector needs it.

use std::time::Duration;

use quorate_crds::{ClusterSpec, Detection, Quorum};

/// `Cluster.spec.detection` and `quorum.startupWait`, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often a host is heard of, on each ring.
    pub heartbeat_interval: Duration,
    /// How long it may be silent on all rings.
    pub timeout: Duration,
    /// After how long a silent ring is reported.
    pub ring_warning_after: Duration,
    /// How long a host may start things after it was last told that it belongs to the quorum.
    pub lease: Duration,
    /// How long something may take to come back that went in order.
    pub restart_grace: Duration,
    /// How long a member that has started waits for hosts that it has not heard yet.
    pub startup_wait: Duration,
}

impl From<&ClusterSpec> for Settings {
    /// Whatever is no duration, which the schema does not let pass, is as by default.
    fn from(cluster: &ClusterSpec) -> Self {
        let (spec, standard) = (&cluster.detection, Detection::default());
        let read = |given: &quorate_crds::Duration, standard: &quorate_crds::Duration| {
            given
                .parse()
                .or_else(|_| standard.parse())
                .unwrap_or_default()
        };
        Self {
            heartbeat_interval: read(&spec.heartbeat_interval, &standard.heartbeat_interval),
            timeout: read(&spec.timeout, &standard.timeout),
            ring_warning_after: read(&spec.ring_warning_after, &standard.ring_warning_after),
            lease: read(&spec.lease, &standard.lease),
            restart_grace: read(&spec.restart_grace, &standard.restart_grace),
            startup_wait: read(
                &cluster.quorum.startup_wait,
                &Quorum::default().startup_wait,
            ),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::from(&ClusterSpec::default())
    }
}

impl Settings {
    /// A detector that did not look for longer than this has slept: what it did not hear then proves nothing.
    pub(super) fn stall(&self) -> Duration {
        self.timeout / 4
    }

    /// Whoever is silent for this long when another is found lost fell silent together with it.
    pub(super) fn together(&self) -> Duration {
        (self.timeout / 2).max(self.heartbeat_interval * 2)
    }
}
