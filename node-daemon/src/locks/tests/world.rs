//! Several hosts with their kernels, and a network between them that loses, delays and doubles. Who has which byte is kept
//! here as the kernels know it, and each new lock is judged by that.

use crate::locks::{
    Answer, Effect, Held, Host, Mode, Note, Packet, Part, Question, Range, Wish, Word,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A splitmix64 generator.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end.max(1) as u64).expect("small")
    }

    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn any<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.below(of.len())])
    }
}

/// What is done wrongly around the code under test, to show that it would be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A daemon begins without what the former one has noted.
    ForgetsNotes,
    /// The others go on before a lost host is off.
    NoFence,
    /// The arbiter is told that a host has nothing, before the host has said anything.
    SpeaksForOthers,
    /// The kernel hears of a lock before it is noted.
    NotesLate,
    /// That a lock which was offered is not wanted any more does not arrive.
    LosesOver,
}

/// What the kernel of one host knows.
#[derive(Default)]
struct Kernel {
    /// Asked, and not read by a daemon.
    unread: VecDeque<Question>,
    /// Read, and not answered; in the order of reading.
    open: Vec<(u64, Question)>,
    answered: BTreeMap<u64, Answer>,
    /// A daemon has begun since, and may say again what it cannot know to be said.
    may_be_told_again: BTreeSet<u64>,
    held: BTreeMap<(u64, u64), Held>,
}

pub(super) struct Machine {
    host: Option<Host>,
    notes: Vec<Note>,
    kernel: Kernel,
    effects: VecDeque<Effect>,
    /// What its lockspace does; a daemon that begins is told.
    running: Option<(u64, Vec<u32>)>,
    /// It is off for good, or until it joins as a new one.
    lost: bool,
}

/// How long something is in others' way although its host knows better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The question of this number is answered.
    Answered(u64),
    /// The arbiter does not take it for held any more.
    Heard,
    /// All is calm: a request that was given up may reach the arbiter before the word that it is over.
    Calm,
}

/// What was held or asked for a moment ago, as far as others can know.
struct Fading {
    node: u32,
    until: Until,
    wish: Wish,
}

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) machines: BTreeMap<u32, Machine>,
    flying: Vec<(u32, u32, Packet)>,
    /// What arrives when nobody expects it any more.
    late: Vec<(u32, u32, Packet)>,
    generation: u64,
    members: Vec<u32>,
    /// Hosts that have stopped and not started in the present generation, which has these members.
    starting: Option<BTreeSet<u32>>,
    mistake: Option<Mistake>,
    fading: Vec<Fading>,
    /// Since when each open question has had nothing in its way.
    contested: BTreeSet<(u32, u64)>,
    pub(super) breach: Option<String>,
    pub(super) grants: usize,
}

fn holds(held: &BTreeMap<(u64, u64), Held>, file: u64, token: u64) -> &[Part] {
    held.get(&(file, token)).map_or(&[], Held::parts)
}

fn clash(one: &Part, other: &Part) -> bool {
    one.range.meets(other.range) && one.mode.max(other.mode) == Mode::Exclusive
}

pub(super) fn wish(file: u64, token: u64, first: u64, last: u64, mode: Mode) -> Wish {
    let range = Range::new(first, last).expect("bytes");
    let pid = u32::try_from(token).expect("small");
    let part = Part { range, mode, pid };
    Wish { file, token, part }
}

impl World {
    pub(super) fn new(seed: u64, hosts: u32, mistake: Option<Mistake>) -> Self {
        let mut world = Self {
            dice: Dice::new(seed),
            machines: BTreeMap::new(),
            flying: Vec::new(),
            late: Vec::new(),
            generation: 1,
            members: (1..=hosts).collect(),
            starting: None,
            mistake,
            fading: Vec::new(),
            contested: BTreeSet::new(),
            breach: None,
            grants: 0,
        };
        for node in 1..=hosts {
            world.machines.insert(
                node,
                Machine {
                    host: None,
                    notes: Vec::new(),
                    kernel: Kernel::default(),
                    effects: VecDeque::new(),
                    running: Some((1, (1..=hosts).collect())),
                    lost: false,
                },
            );
            world.begin(node);
        }
        world
    }

    pub(super) fn hosts(&self) -> Vec<u32> {
        self.machines.keys().copied().collect()
    }

    pub(super) fn is_lost(&self, node: u32) -> bool {
        self.machines[&node].lost
    }

    pub(super) fn has_daemon(&self, node: u32) -> bool {
        self.machines[&node].host.is_some()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.starting.is_none()
    }

    fn machine(&mut self, node: u32) -> &mut Machine {
        self.machines.get_mut(&node).expect("a host")
    }

    /// Asks the kernel of a host, which asks the daemon, when there is one.
    pub(super) fn ask(&mut self, node: u32, question: Question) {
        let machine = self.machine(node);
        if machine.lost {
            return;
        }
        machine.kernel.unread.push_back(question);
        self.read(node);
        self.perform(node);
    }

    fn read(&mut self, node: u32) {
        loop {
            let machine = self.machine(node);
            let (Some(host), true) = (&mut machine.host, machine.effects.is_empty()) else {
                return;
            };
            let Some(question) = machine.kernel.unread.pop_front() else {
                return;
            };
            // Read and noted is one for the kernel: see `locks`.
            let number = host.ask(question);
            let effects = host.effects();
            machine.effects.extend(effects);
            self.was_read(node, number, question);
            match self.mistake {
                Some(Mistake::NotesLate) => self.perform(node),
                _ => {
                    self.one_effect(node);
                    self.perform(node);
                }
            }
        }
    }

    /// What becomes true in the kernel when the question is read.
    fn was_read(&mut self, node: u32, number: u64, question: Question) {
        let lets_go = match question {
            Question::Unlock {
                file, token, range, ..
            } => Some((file, token, range, Until::Answered(number))),
            Question::Close { file, token } => Some((file, token, Range::ALL, Until::Heard)),
            _ => None,
        };
        if let Some((file, token, range, until)) = lets_go {
            let kernel = &mut self.machine(node).kernel;
            let held = kernel.held.entry((file, token)).or_default();
            let before = held.parts().to_vec();
            held.unlock(range);
            for part in before {
                let wish = Wish { file, token, part };
                self.fading.push(Fading { node, until, wish });
            }
        }
        if question.has_answer() {
            self.machine(node).kernel.open.push((number, question));
        }
        if let Question::Close { file, token } = question {
            // The process that waited is gone already, or is told; both is well.
            let kernel = &mut self.machine(node).kernel;
            let of_it = |wish: &Wish| wish.file == file && wish.token == token;
            for (number, question) in &kernel.open {
                if matches!(question, Question::Lock { wish, wait: true } if of_it(wish)) {
                    kernel.may_be_told_again.insert(*number);
                }
            }
        }
        self.contest();
    }

    /// Remembers which requests have, or had, anything in their way that others cannot know to be gone.
    fn contest(&mut self) {
        let known: Vec<(u32, Wish)> = self.known().unwrap_or_default();
        let unknown = self.known().is_none();
        self.fading.retain(|it| {
            let still = |(node, wish): &(u32, Wish)| {
                let same = (*node, wish.file, wish.token) == (it.node, it.wish.file, it.wish.token);
                same && wish.part.range.meets(it.wish.part.range)
            };
            it.until != Until::Heard || unknown || known.iter().any(still)
        });
        let mut contested = Vec::new();
        for (node, machine) in &self.machines {
            for (number, question) in &machine.kernel.open {
                if let Question::Lock { wish, .. } | Question::Get { wish } = question
                    && self.anything_in_the_way(*node, wish)
                {
                    contested.push((*node, *number));
                }
            }
        }
        self.contested.extend(contested);
    }

    /// What the arbiter takes for held or offered; none, while there is none that decides.
    fn known(&self) -> Option<Vec<(u32, Wish)>> {
        let hosts = self
            .machines
            .values()
            .filter_map(|machine| machine.host.as_ref());
        let newest = hosts.filter(|host| host.generation() == Some(self.generation));
        let table = newest.filter_map(Host::table).next()?;
        let held = table.held().map(|(file, holder, part)| {
            let token = holder.token;
            (holder.node, Wish { file, token, part })
        });
        Some(held.chain(table.offered()).collect())
    }

    fn anything_in_the_way(&self, node: u32, wish: &Wish) -> bool {
        let other = |at: u32, token: u64| (at, token) != (node, wish.token);
        let open = self.machines.iter().any(|(at, machine)| {
            machine.kernel.open.iter().any(|(_, question)| {
                matches!(question, Question::Lock { wish: theirs, .. }
                    if theirs.file == wish.file && other(*at, theirs.token) && clash(&theirs.part, &wish.part))
            })
        });
        let fading = self.fading.iter().any(|it| {
            it.wish.file == wish.file
                && other(it.node, it.wish.token)
                && clash(&it.wish.part, &wish.part)
        });
        open || fading || self.in_the_way(node, wish).is_some()
    }

    /// A lock that some kernel has, and that is in the way.
    fn in_the_way(&self, node: u32, wish: &Wish) -> Option<(u32, u64, Part)> {
        self.machines.iter().find_map(|(at, machine)| {
            machine
                .kernel
                .held
                .iter()
                .find_map(|((file, token), held)| {
                    if *file != wish.file || (*at, *token) == (node, wish.token) {
                        return None;
                    }
                    let part = held.parts().iter().find(|part| clash(part, &wish.part))?;
                    Some((*at, *token, *part))
                })
        })
    }

    /// Does everything that the daemon has to do.
    fn perform(&mut self, node: u32) {
        while self.one_effect(node) {}
    }

    fn one_effect(&mut self, node: u32) -> bool {
        let late = self.mistake == Some(Mistake::NotesLate);
        let machine = self.machine(node);
        if let Some(host) = &mut machine.host {
            let effects = host.effects();
            machine.effects.extend(effects);
        }
        if late {
            let notes = |effect: &Effect| matches!(effect, Effect::Note(_));
            machine.effects.make_contiguous().sort_by_key(notes);
        }
        match machine.effects.pop_front() {
            None => return false,
            Some(Effect::Note(note)) => machine.notes.push(note),
            Some(Effect::Send(to, packet)) => self.flying.push((node, to, packet)),
            Some(Effect::Answer(number, _, answer)) => self.answered(node, number, answer),
        }
        true
    }

    fn answered(&mut self, node: u32, number: u64, answer: Answer) {
        self.contest();
        let contested = self.contested.contains(&(node, number));
        let machine = self.machine(node);
        let kernel = &mut machine.kernel;
        let Some(at) = kernel.open.iter().position(|(one, _)| *one == number) else {
            if !kernel.may_be_told_again.contains(&number) {
                self.found(format!("{node}: question {number} is answered twice"));
            }
            return;
        };
        let (_, question) = kernel.open[at];
        let overtaken = kernel.open[..at].iter().any(|(_, one)| !one.waits());
        kernel.open.remove(at);
        kernel.answered.insert(number, answer);
        self.fading
            .retain(|it| it.until != Until::Answered(number) || it.node != node);
        if !question.waits() && overtaken {
            self.found(format!("{node}: the answer to {number} is out of order"));
        }
        match (question, answer) {
            (Question::Lock { wish, .. }, Answer::Done) => {
                if let Some((at, token, part)) = self.in_the_way(node, &wish) {
                    self.found(format!(
                        "{node} is given {wish:?}, and {token} of {at} has {part:?}"
                    ));
                }
                let kernel = &mut self.machine(node).kernel;
                let held = kernel.held.entry((wish.file, wish.token)).or_default();
                let before = held.parts().to_vec();
                held.lock(wish.part);
                self.grants += 1;
                // It may be less than it was, and others hear of it later.
                for part in before {
                    let wish = Wish { part, ..wish };
                    let until = Until::Heard;
                    self.fading.push(Fading { node, until, wish });
                }
            }
            (Question::Cancel { wish }, Answer::Done) => {
                // The kernel takes the request back, and expects no answer to it any more.
                let kernel = &mut self.machine(node).kernel;
                let same = Question::Lock { wish, wait: true };
                match kernel.open.iter().position(|(_, one)| *one == same) {
                    Some(at) => {
                        kernel.open.remove(at);
                        // It may have been offered.
                        let until = Until::Calm;
                        self.fading.push(Fading { node, until, wish });
                    }
                    None => self.found(format!("{node}: nothing waits for {wish:?}")),
                }
            }
            (Question::Lock { wish, .. }, Answer::Ended | Answer::NoAgreement) => {
                let until = Until::Calm;
                self.fading.push(Fading { node, until, wish });
            }
            (Question::Lock { wait: false, .. }, Answer::Busy) if !contested => {
                self.found(format!(
                    "{node}: {question:?} is refused, and nothing is in its way"
                ));
            }
            (Question::Get { wish }, Answer::Found(Some(found))) => {
                if found.holder == wish.holder(node) || !clash(&found.part, &wish.part) {
                    self.found(format!("{node}: {found:?} is not in the way of {wish:?}"));
                } else if !contested {
                    self.found(format!("{node}: nothing is in the way of {wish:?}"));
                }
            }
            _ => {}
        }
    }

    pub(super) fn found(&mut self, what: String) {
        self.breach.get_or_insert(what);
    }

    /// The daemon of a host ends after some of what it has to do.
    pub(super) fn kill(&mut self, node: u32) {
        let keeps = self.dice.below(4);
        for _ in 0..keeps {
            self.one_effect(node);
        }
        let machine = self.machine(node);
        machine.host = None;
        machine.effects.clear();
    }

    /// Lets a daemon end in the middle of what a question leads to.
    pub(super) fn ask_and_kill(&mut self, node: u32, question: Question) {
        let steps = self.dice.below(5);
        let machine = self.machine(node);
        let Some(host) = &mut machine.host else {
            return;
        };
        let number = host.ask(question);
        let effects = host.effects();
        machine.effects.extend(effects);
        self.was_read(node, number, question);
        for _ in 0..=steps {
            self.one_effect(node);
        }
        let machine = self.machine(node);
        machine.host = None;
        machine.effects.clear();
    }

    /// A daemon begins.
    pub(super) fn begin(&mut self, node: u32) {
        let forgets = self.mistake == Some(Mistake::ForgetsNotes);
        let machine = self.machine(node);
        if machine.lost || machine.host.is_some() {
            return;
        }
        if forgets {
            let number = |note: &Note| matches!(note, Note::Life(_) | Note::Asked(..));
            machine.notes.retain(number);
        }
        let mut host = Host::new(node, machine.notes.iter().copied());
        let told = host.doubtful().is_some_and(|(number, _)| {
            let kernel = &machine.kernel;
            kernel.open.iter().all(|(open, _)| *open != number)
        });
        for (number, _) in machine.kernel.answered.clone() {
            machine.kernel.may_be_told_again.insert(number);
        }
        host.resume(told);
        if let Some((generation, members)) = &machine.running {
            host.start(*generation, members);
        }
        machine.host = Some(host);
        self.perform(node);
        // The short form says the same.
        let machine = self.machine(node);
        if let Some(host) = &machine.host {
            machine.notes = host.notes();
        }
        self.read(node);
    }

    /// One packet arrives somewhere, or is lost, or arrives and flies on.
    pub(super) fn deliver(&mut self, faults: bool) -> bool {
        if faults && self.dice.one_in(12) && !self.late.is_empty() {
            let at = self.dice.below(self.late.len());
            let late = self.late.swap_remove(at);
            self.flying.insert(0, late);
        }
        if self.flying.is_empty() {
            return false;
        }
        // Without faults those that were sent first arrive first.
        let at = match faults {
            true => self.dice.below(self.flying.len().min(4)),
            false => 0,
        };
        let (from, to, packet) = match faults && self.dice.one_in(5) {
            true => self.flying[at].clone(),
            false => self.flying.remove(at),
        };
        if faults && self.dice.one_in(8) {
            return true;
        }
        if faults && self.dice.one_in(6) {
            self.late.push((from, to, packet.clone()));
        }
        if self.mistake == Some(Mistake::SpeaksForOthers) {
            self.speak_for_others(to, &packet);
        }
        let mut packet = packet;
        if self.mistake == Some(Mistake::LosesOver)
            && let Word::Items { items, .. } = &mut packet.word
        {
            for item in items {
                if let crate::locks::Item::Over(_) = item {
                    *item = crate::locks::Item::Over(u64::MAX);
                }
            }
        }
        let machine = self.machine(to);
        if let Some(host) = &mut machine.host {
            host.receive(from, &packet);
            self.perform(to);
            self.read(to);
        }
        true
    }

    fn speak_for_others(&mut self, to: u32, packet: &Packet) {
        let Word::Items { session, .. } = &packet.word else {
            return;
        };
        let mut session = *session;
        session.life = 0;
        for node in self.members.clone() {
            let word = Word::Items {
                session,
                first: 0,
                items: vec![crate::locks::Item::Whole],
            };
            let generation = packet.generation;
            if let Some(host) = &mut self.machine(to).host {
                host.receive(node, &Packet { generation, word });
            }
        }
    }

    pub(super) fn tick(&mut self, node: u32) {
        let machine = self.machine(node);
        if let Some(host) = &mut machine.host {
            host.tick();
            self.perform(node);
        }
    }

    /// Some question of a host has waited for too long.
    pub(super) fn give_up(&mut self, node: u32) {
        let open: Vec<(u64, Question)> = self.machines[&node].kernel.open.clone();
        let held_up = |(number, _): &&(u64, Question)| {
            let host = self.machines[&node].host.as_ref();
            host.is_some_and(|host| host.holds_up(*number))
        };
        let Some((number, _)) = open.iter().find(held_up).copied() else {
            return;
        };
        for it in &mut self.fading {
            if it.node == node && it.until == Until::Answered(number) {
                it.until = Until::Heard;
            }
        }
        if let Some(host) = &mut self.machine(node).host {
            host.give_up(number);
        }
        self.perform(node);
    }

    /// A host dies. What it had is its own until the others may go on without it.
    pub(super) fn lose(&mut self, node: u32) {
        let machine = self.machine(node);
        machine.lost = true;
        machine.host = None;
        machine.effects.clear();
        if self.mistake == Some(Mistake::NoFence) {
            // It is only not heard any more.
            self.change_members();
        }
    }

    /// The next generation is to begin: with everybody who lives.
    pub(super) fn change_members(&mut self) {
        if self.starting.is_none() {
            self.starting = Some(BTreeSet::new());
        }
    }

    /// One step of the change: somebody stops, or the lost are fenced, or somebody starts.
    pub(super) fn go_on_changing(&mut self) {
        let Some(started) = self.starting.clone() else {
            return;
        };
        let living: Vec<u32> = self
            .hosts()
            .into_iter()
            .filter(|node| !self.is_lost(*node))
            .collect();
        // Without a daemon nothing of the lockspace changes on a host.
        let able: Vec<u32> = living
            .iter()
            .copied()
            .filter(|node| self.has_daemon(*node))
            .collect();
        if started.is_empty() {
            let generation = self.generation;
            let runs = |machine: &Machine| {
                machine
                    .running
                    .as_ref()
                    .is_some_and(|(running, _)| *running <= generation)
            };
            let running: Vec<u32> = living
                .iter()
                .copied()
                .filter(|node| runs(&self.machines[node]))
                .collect();
            let can: Vec<u32> = running
                .iter()
                .copied()
                .filter(|node| able.contains(node))
                .collect();
            if !running.is_empty() {
                if let Some(node) = self.dice.any(&can) {
                    self.stop(node);
                }
                return;
            }
            // All have stopped. What the lost had is gone with their fence.
            self.generation += 1;
            self.members = living.clone();
            if self.mistake != Some(Mistake::NoFence) {
                for machine in self.machines.values_mut().filter(|machine| machine.lost) {
                    machine.kernel = Kernel::default();
                }
            }
        }
        let (generation, members) = (self.generation, self.members.clone());
        let wait: Vec<u32> = members
            .iter()
            .copied()
            .filter(|node| able.contains(node) && !started.contains(node))
            .collect();
        if let Some(node) = self.dice.any(&wait) {
            let machine = self.machine(node);
            machine.running = Some((generation, members.clone()));
            if let Some(host) = &mut machine.host {
                host.start(generation, &members);
            }
            self.starting.get_or_insert_default().insert(node);
            self.perform(node);
        }
        let all = |started: &BTreeSet<u32>| {
            members
                .iter()
                .all(|node| started.contains(node) || self.is_lost(*node))
        };
        if self.starting.as_ref().is_some_and(all) {
            self.starting = None;
            // Somebody was lost meanwhile.
            if members.iter().any(|node| self.is_lost(*node)) {
                self.change_members();
            }
        }
    }

    fn stop(&mut self, node: u32) {
        let machine = self.machine(node);
        machine.running = None;
        if let Some(host) = &mut machine.host {
            host.stop();
        }
        self.perform(node);
    }

    /// A lost host that was fenced boots, and joins with the next generation.
    pub(super) fn boot(&mut self, node: u32) {
        let machine = self.machine(node);
        machine.lost = false;
        machine.notes.clear();
        machine.kernel = Kernel::default();
        machine.running = None;
        self.contested.retain(|(at, _)| *at != node);
        self.begin(node);
        self.change_members();
    }

    pub(super) fn is_fenced(&self, node: u32) -> bool {
        self.is_lost(node) && self.is_settled() && !self.members.contains(&node)
    }

    /// No more faults: everybody who lives has a daemon, and is heard.
    pub(super) fn calm_down(&mut self) {
        for node in self.hosts() {
            self.begin(node);
        }
        if self.members.iter().any(|node| self.is_lost(*node)) {
            self.change_members();
        }
        while !self.is_settled() {
            self.go_on_changing();
        }
        // Hello, welcome, everything, offers, what became of them.
        for _ in 0..8 {
            for node in self.hosts() {
                self.tick(node);
            }
            self.all_arrives();
        }
        // What was known before is known to all by now.
        self.fading.clear();
    }

    /// After all has calmed down: whoever waits has something in the way, and everybody knows the same.
    pub(super) fn judge_calm(&mut self) {
        if self.breach.is_some() {
            return;
        }
        let mut found = Vec::new();
        let mut truth: Vec<(u32, Wish)> = Vec::new();
        let mut believed: Vec<(u32, Wish)> = Vec::new();
        for (node, machine) in self.machines.iter().filter(|(_, machine)| !machine.lost) {
            for (number, question) in &machine.kernel.open {
                match question {
                    Question::Lock { wish, wait: true }
                        if self.in_the_way(*node, wish).is_some() => {}
                    _ => found.push(format!("{node}: {number} {question:?} is never answered")),
                }
            }
            let of_kernel = machine.kernel.held.iter().flat_map(|((file, token), _)| {
                let parts = holds(&machine.kernel.held, *file, *token).iter();
                parts.map(|part| {
                    (
                        *node,
                        Wish {
                            file: *file,
                            token: *token,
                            part: *part,
                        },
                    )
                })
            });
            let of_kernel: Vec<_> = of_kernel.collect();
            let of_host: Vec<_> = machine
                .host
                .iter()
                .flat_map(Host::held)
                .map(|wish| (*node, wish))
                .collect();
            if of_kernel != of_host {
                found.push(format!(
                    "{node} has {of_kernel:?}, and its daemon knows {of_host:?}"
                ));
            }
            truth.extend(of_kernel);
            if let Some(table) = machine.host.as_ref().and_then(Host::table) {
                let held = table.held();
                believed.extend(held.map(|(file, holder, part)| {
                    (
                        holder.node,
                        Wish {
                            file,
                            token: holder.token,
                            part,
                        },
                    )
                }));
            }
        }
        believed.sort_by_key(|(node, wish)| (*node, wish.file, wish.token, wish.part.range));
        if truth != believed {
            found.push(format!(
                "held is {truth:?}, and the arbiter knows {believed:?}"
            ));
        }
        if let Some(first) = found.into_iter().next() {
            self.found(first);
        }
    }

    /// Questions of a host that its kernel has no answer to.
    pub(super) fn open(&self, node: u32) -> Vec<(u64, Question)> {
        self.machines[&node].kernel.open.clone()
    }

    /// The answers that the kernel of a host was given, in the order of its questions.
    pub(super) fn answers(&self, node: u32) -> Vec<Answer> {
        self.machines[&node]
            .kernel
            .answered
            .values()
            .copied()
            .collect()
    }

    /// The lockspace of one host stops, and starts in the same generation.
    pub(super) fn stops_and_starts(&mut self, node: u32) {
        let running = self.machines[&node].running.clone();
        self.stop(node);
        let machine = self.machine(node);
        if let (Some((generation, members)), Some(host)) = (&running, &mut machine.host) {
            host.start(*generation, members);
        }
        machine.running = running;
        self.perform(node);
    }

    /// The answer to the newest question of a host that has one.
    pub(super) fn last_answer(&self, node: u32) -> Option<Answer> {
        self.machines[&node]
            .kernel
            .answered
            .values()
            .next_back()
            .copied()
    }

    /// Everything arrives that is on its way, and nothing of it is lost.
    pub(super) fn all_arrives(&mut self) {
        while self.deliver(false) {}
    }

    /// What is on its way is lost.
    pub(super) fn all_is_lost(&mut self) {
        self.flying.clear();
    }

    /// The members change, with nobody in the way of it.
    pub(super) fn change_members_now(&mut self) {
        self.change_members();
        while !self.is_settled() {
            self.go_on_changing();
        }
    }
}
