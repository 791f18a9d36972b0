use std::time::Duration;

use super::{Inner, Wire};
use crate::executor::MachineId;

/// A network that carries heartbeats: the place of its address in a member's list.
pub type Ring = u8;

/// How the wire is as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The shortest time that anything takes.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
    /// So many datagrams in a million are lost.
    pub loss: u64,
    /// So many datagrams in a million arrive twice.
    pub doubled: u64,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            least: Duration::from_micros(100),
            most: Duration::from_micros(600),
            loss: 0,
            doubled: 0,
        }
    }
}

impl Wire {
    /// Changes the wire as a whole.
    pub fn set_condition(&self, condition: Condition) {
        self.lock().condition = condition;
    }

    /// Cuts or mends one ring from one machine to another, one way.
    pub fn set_cut(&self, from: MachineId, to: MachineId, ring: Ring, cut: bool) {
        let mut inner = self.lock();
        if cut {
            inner.cut.insert((from, to, ring));
        } else {
            inner.cut.remove(&(from, to, ring));
        }
    }

    /// Mends every ring and calms the wire.
    pub fn heal(&self) {
        let mut inner = self.lock();
        inner.cut.clear();
        inner.condition = Condition::default();
    }

    /// A machine whose network interfaces are dead, with its power or alone, or alive again.
    pub fn set_down(&self, machine: MachineId, down: bool) {
        let mut inner = self.lock();
        if down {
            inner.down.insert(machine);
        } else {
            inner.down.remove(&machine);
        }
    }

    /// Whether a connection between the machines works in both directions on any ring.
    #[must_use]
    pub fn connects(&self, one: MachineId, other: MachineId) -> bool {
        self.lock().reaches(one, other)
    }
}

impl Inner {
    /// Whether something gets through on one ring in one direction.
    pub(super) fn passes(&self, from: MachineId, to: MachineId, ring: Ring) -> bool {
        let up = !self.down.contains(&from) && !self.down.contains(&to);
        up && (from == to || !self.cut.contains(&(from, to, ring)))
    }

    /// Whether a connection works: both ways on the same ring.
    pub(super) fn reaches(&self, one: MachineId, other: MachineId) -> bool {
        (0..self.rings).any(|ring| self.passes(one, other, ring) && self.passes(other, one, ring))
    }
}
