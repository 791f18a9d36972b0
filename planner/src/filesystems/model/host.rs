//! A host: its kernel with the filesystem and its locks, and the daemon that makes its record so.
//!
//! [`Host::verdict`] says what `node-daemon/src/reconcile/mount.rs` says, without what cannot happen here: foreign mounts, filesystems
//! that grow or shut themselves down, devices that fail. The kernel does what ADR 13 says was seen of it.

use super::leader::{HOSTS, Members, Place, Record, Report, Word};

/// How far a mount or an unmount is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Nothing,
    /// A mount waits in the kernel until it is let in.
    AtTheDoor,
    /// It is let in, and goes through when all members have started.
    Entering,
    Mounted,
    /// It is unmounted, and waits in the kernel until it is let out.
    Leaving,
}

/// One boot of a host's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kernel {
    pub(super) stage: Stage,
    pub(super) generation: Option<u8>,
    /// Locks are given.
    pub(super) running: bool,
    pub(super) members: Members,
    /// All members have started since, so that whoever waits for a lock gets it.
    pub(super) recovered: bool,
    /// It has written, or may have, and has not unmounted.
    pub(super) writes: bool,
}

impl Kernel {
    pub(super) const FRESH: Self = Self {
        stage: Stage::Nothing,
        generation: None,
        running: false,
        members: [0; HOSTS],
        recovered: false,
        writes: false,
    };

    pub(super) fn recovers(&mut self) {
        self.recovered = true;
        if self.stage == Stage::Entering {
            self.stage = Stage::Mounted;
            self.writes = true;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Act {
    Mount,
    Unmount,
    Stop,
    Start,
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Do(Act),
    Waits,
    Converged,
    Released,
}

/// A host, as it really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Host {
    /// It executes.
    pub(super) on: bool,
    /// Nobody hears it, and it hears nobody.
    pub(super) cut: bool,
    pub(super) kernel: Kernel,
    /// The record as the daemon has it.
    pub(super) plan: Option<Record>,
    /// What was said last and has not arrived.
    pub(super) word: Option<Report>,
}

impl Host {
    pub(super) const FRESH: Self = Self {
        on: true,
        cut: false,
        kernel: Kernel::FRESH,
        plan: None,
        word: None,
    };

    fn verdict(&self, at: usize) -> Option<Verdict> {
        let plan = self.plan.as_ref()?;
        let kernel = &self.kernel;
        let member = plan.members[at] > 0;
        let there = kernel.stage != Stage::Nothing;
        let stale = !kernel.running || kernel.generation != Some(plan.generation);
        let to_stop = kernel.running || kernel.generation != Some(plan.generation);
        Some(match (plan.active, kernel.stage) {
            // Member or not, whoever has the lockspace follows first.
            (_, stage) if there && member && plan.start && (stage == Stage::AtTheDoor || stale) => {
                Verdict::Do(Act::Start)
            }
            _ if there && member && !plan.start && to_stop => Verdict::Do(Act::Stop),
            _ if there && member && !plan.start => Verdict::Converged,
            (true, Stage::Nothing) if member && !plan.start => Verdict::Converged,
            (true, Stage::Nothing) => Verdict::Do(Act::Mount),
            (true, Stage::Mounted) if member => Verdict::Converged,
            (_, Stage::Leaving) if !member => Verdict::Do(Act::Leave),
            (true, _) => Verdict::Waits,
            (false, Stage::AtTheDoor) => Verdict::Do(Act::Leave),
            (false, Stage::Leaving | Stage::Entering) => Verdict::Waits,
            (false, Stage::Mounted) => Verdict::Do(Act::Unmount),
            (false, Stage::Nothing) => Verdict::Released,
        })
    }

    /// What the daemon would do now.
    pub(super) fn act(&self, at: usize) -> Option<Act> {
        match self.verdict(at)? {
            Verdict::Do(act) => Some(act),
            _ => None,
        }
    }

    /// The kernel does it, or lets it wait.
    pub(super) fn done(&mut self, act: Act) {
        let Some(plan) = &self.plan else { return };
        let kernel = &mut self.kernel;
        match act {
            Act::Mount => kernel.stage = Stage::AtTheDoor,
            // It needs locks, and hangs until it has them.
            Act::Unmount if kernel.recovered => {
                kernel.stage = Stage::Leaving;
                kernel.writes = false;
            }
            Act::Unmount => {}
            Act::Stop => {
                kernel.running = false;
                kernel.recovered = false;
                kernel.generation = Some(plan.generation);
            }
            // The driver refuses to change members of one that gives locks.
            Act::Start if kernel.running && kernel.generation != Some(plan.generation) => {}
            Act::Start => {
                kernel.running = true;
                kernel.recovered = false;
                kernel.generation = Some(plan.generation);
                kernel.members = plan.members;
                if kernel.stage == Stage::AtTheDoor {
                    kernel.stage = Stage::Entering;
                }
            }
            Act::Leave => *kernel = Kernel::FRESH,
        }
    }

    /// What the daemon has to say of its record.
    pub(super) fn report(&self, at: usize, boot: u8) -> Option<Report> {
        let verdict = self.verdict(at)?;
        Some(Report {
            boot,
            serial: self.plan.as_ref()?.serial,
            word: match verdict {
                Verdict::Do(_) | Verdict::Waits => Word::Working,
                Verdict::Converged => Word::Converged,
                Verdict::Released => Word::Released,
            },
            place: match self.kernel.stage {
                Stage::Nothing | Stage::Entering => Place::Unmounted,
                Stage::AtTheDoor => Place::Mounting,
                Stage::Mounted => Place::Mounted,
                Stage::Leaving => Place::Unmounting,
            },
        })
    }
}
