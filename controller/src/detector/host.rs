//! One host, as this member hears it.

use quorate_crds::NodeState;
use quorate_proto::heartbeat::{Beat, DaemonState, HeartbeatKey};
use tokio::time::Instant;

use super::Settings;

/// A ring's number is a byte; nobody has more rings than this.
pub(super) const MAX_RINGS: usize = 8;
/// For so many times `ringWarningAfter` a ring must be heard without a gap until it counts as whole again.
const STEADY: u32 = 10;

/// What the log says about a host, as far as the detector needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The incarnation that counts. Beats of any other are not listened to.
    pub incarnation: u64,
    /// What it does.
    pub state: NodeState,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ring {
    heard: Option<Instant>,
    sequence: u64,
    /// It has had a gap, and is not called whole before this: a ring that comes and goes is one complaint, not many.
    mistrusted_until: Option<Instant>,
}

/// What was heard of one incarnation of a host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) known: Known,
    pub(super) key: HeartbeatKey,
    rings: [Ring; MAX_RINGS],
    /// Records of older generations no longer give it the right to activate anything.
    pub(super) lowest_valid_generation: u64,
    /// The newest beat on any ring.
    pub(super) heard: Option<Instant>,
    /// Since when it has been heard without a gap.
    run_since: Option<Instant>,
    /// Since when its daemon has not been well.
    unwell_since: Option<Instant>,
    /// When it went in order, without having been heard since.
    closed: Option<Instant>,
    /// The last lease that was given here.
    pub(super) granted: Option<Instant>,
    /// It was judged silent; it gets no lease until the log says that it is online again.
    pub(super) suspected: bool,
    /// Until when another member's hearing counts for it.
    excused_until: Option<Instant>,
    /// When the other voters said that they do not hear it either.
    consulted: Option<Instant>,
    /// When `Fenced` was first known here, and how many beats came too late to have been on their way then.
    fenced: Option<(Instant, u32)>,
}

impl Host {
    pub(super) fn new(known: Known, key: HeartbeatKey, now: Instant) -> Self {
        Self {
            known,
            key,
            rings: [Ring::default(); MAX_RINGS],
            lowest_valid_generation: 0,
            heard: None,
            run_since: None,
            unwell_since: None,
            closed: None,
            granted: None,
            suspected: false,
            excused_until: None,
            consulted: None,
            fenced: (known.state == NodeState::Fenced).then_some((now, 0)),
        }
    }

    /// Takes what the log says now about the same incarnation.
    pub(super) fn know(&mut self, known: Known, now: Instant) {
        if known.state != self.known.state {
            self.suspected = matches!(known.state, NodeState::Suspect | NodeState::Fencing);
            self.fenced = (known.state == NodeState::Fenced).then_some((now, 0));
        }
        self.known = known;
    }

    /// Takes an authentic beat; false when it is no newer than one that was heard before: a copy.
    pub(super) fn hear(&mut self, beat: &Beat<'_>, settings: &Settings, now: Instant) -> bool {
        let Some(ring) = self.rings.get_mut(usize::from(beat.ring)) else {
            return false;
        };
        if ring.heard.is_some() && beat.sequence <= ring.sequence {
            return false;
        }
        let gap = ring
            .heard
            .is_some_and(|heard| now.duration_since(heard) > settings.ring_warning_after);
        if gap {
            ring.mistrusted_until = Some(now + settings.ring_warning_after * STEADY);
        }
        ring.heard = Some(now);
        ring.sequence = beat.sequence;
        let unbroken = self
            .heard
            .is_some_and(|heard| now.duration_since(heard) <= settings.together());
        if !unbroken {
            self.run_since = Some(now);
        }
        self.heard = Some(now);
        self.consulted = None;
        self.excused_until = None;
        self.closed = (beat.daemon == DaemonState::Restarting).then_some(now);
        self.unwell_since = match beat.daemon {
            DaemonState::Well => None,
            DaemonState::Restarting | DaemonState::Stuck => self.unwell_since.or(Some(now)),
        };
        if let Some((since, late)) = &mut self.fenced
            && now.duration_since(*since) > settings.timeout
        {
            *late = late.saturating_add(1);
        }
        true
    }

    /// Its connection was closed: by a kernel that lives if it was heard just now. What ends after a silence was only
    /// given up by whoever waited for it.
    pub(super) fn close(&mut self, settings: &Settings, now: Instant) {
        let lives = self
            .heard
            .is_some_and(|heard| now.duration_since(heard) <= settings.together());
        if lives {
            self.closed = Some(now);
        }
    }

    /// Whether it has been silent for too long, counting from `listening` at the earliest.
    pub(super) fn is_lost(&self, settings: &Settings, listening: Instant, now: Instant) -> bool {
        let grace = self
            .closed
            .is_some_and(|closed| now.duration_since(closed) <= settings.restart_grace);
        let excused = self.excused_until.is_some_and(|until| now < until);
        !grace && !excused && self.silence(listening, now) > settings.timeout
    }

    pub(super) fn silence(&self, listening: Instant, now: Instant) -> std::time::Duration {
        let from = self.heard.map_or(listening, |heard| heard.max(listening));
        now.duration_since(from)
    }

    /// Whether it is heard so steadily that it counts as being there again.
    pub(super) fn is_steady(&self, settings: &Settings, now: Instant) -> bool {
        let fresh = self
            .heard
            .is_some_and(|heard| now.duration_since(heard) <= settings.together());
        let long = match self.known.state {
            NodeState::Suspect => settings.together(),
            _ => std::time::Duration::ZERO,
        };
        fresh
            && self
                .run_since
                .is_some_and(|since| now.duration_since(since) >= long)
    }

    /// The rings of the first `count` on which it is not heard while it is on another.
    pub(super) fn silent_rings(
        &self,
        count: usize,
        settings: &Settings,
        listening: Instant,
        now: Instant,
    ) -> Vec<u8> {
        let silent = |ring: &Ring| {
            let from = ring.heard.map_or(listening, |heard| heard.max(listening));
            now.duration_since(from) > settings.ring_warning_after
        };
        let rings = &self.rings[..count.min(MAX_RINGS)];
        if rings.iter().all(silent) {
            return Vec::new();
        }
        let mistrusted = |ring: &Ring| ring.mistrusted_until.is_some_and(|until| now < until);
        (0u8..)
            .zip(rings)
            .filter(|(_, ring)| silent(ring) || mistrusted(ring))
            .map(|(number, _)| number)
            .collect()
    }

    pub(super) fn is_unwell(&self, settings: &Settings, now: Instant) -> bool {
        self.unwell_since
            .is_some_and(|since| now.duration_since(since) > settings.restart_grace)
    }

    /// Whether it lives though it was confirmed off. One beat may have been on its way for long; two were not.
    pub(super) fn contradicts(&self) -> bool {
        self.fenced.is_some_and(|(_, late)| late >= 2)
    }

    /// Whether the other voters were asked during this silence and hear it as little.
    pub(super) fn was_consulted(&self) -> bool {
        self.consulted.is_some()
    }

    pub(super) fn consult(&mut self, heard_elsewhere: bool, settings: &Settings, now: Instant) {
        if heard_elsewhere {
            self.excused_until = Some(now + settings.timeout);
        } else {
            self.excused_until = None;
            self.consulted = Some(now);
        }
    }

    /// Nothing that was or was not heard before counts any more against it.
    pub(super) fn start_anew(&mut self) {
        self.consulted = None;
    }

    /// Whether another member's hearing counted for it in this silence, if only a while ago.
    pub(super) fn was_excused(&self) -> bool {
        self.excused_until.is_some()
    }

    pub(super) fn is_excused(&self, now: Instant) -> bool {
        self.excused_until.is_some_and(|until| now < until)
    }
}
