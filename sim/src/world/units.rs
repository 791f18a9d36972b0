use std::collections::BTreeMap;

/// What a simulated process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Member,
    Node,
    Lease,
}

impl Kind {
    /// The program's name.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Member => "quorated",
            Self::Node => "quorate-node",
            Self::Lease => "quorate-lease",
        }
    }
}

/// A process that is to run whenever its machine does, as systemd sees to it.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) machine: String,
    pub(crate) kind: Kind,
    /// Faults that keep it from running.
    killed: u32,
    /// Faults that keep it from going on.
    paused: u32,
}

impl Unit {
    pub(crate) fn may_run(&self) -> bool {
        self.killed == 0
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused > 0
    }
}

/// All processes that are to run.
#[derive(Default)]
pub(crate) struct Units(BTreeMap<String, Unit>);

impl Units {
    pub(crate) fn add(&mut self, process: &str, machine: &str, kind: Kind) {
        let unit = Unit {
            machine: machine.to_owned(),
            kind,
            killed: 0,
            paused: 0,
        };
        self.0.insert(process.to_owned(), unit);
    }

    pub(crate) fn get(&self, process: &str) -> Option<&Unit> {
        self.0.get(process)
    }

    pub(crate) fn of(&self, machine: &str) -> Vec<String> {
        let of = |unit: &Unit| unit.machine == machine;
        let found = self.0.iter().filter(|(_, unit)| of(unit));
        found.map(|(process, _)| process.clone()).collect()
    }

    /// One more fault keeps it down, or one fewer.
    pub(crate) fn kill(&mut self, process: &str, begins: bool) {
        if let Some(unit) = self.0.get_mut(process) {
            unit.killed = counted(unit.killed, begins);
        }
    }

    /// One more fault stops it, or one fewer.
    pub(crate) fn pause(&mut self, process: &str, begins: bool) {
        if let Some(unit) = self.0.get_mut(process) {
            unit.paused = counted(unit.paused, begins);
        }
    }
}

pub(crate) fn counted(count: u32, begins: bool) -> u32 {
    if begins {
        count + 1
    } else {
        count.saturating_sub(1)
    }
}
