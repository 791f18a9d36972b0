use super::arbiter::Arbiter;
use super::member::{self, Member};
use super::packet::{Packet, Word};
use super::{Answer, Note, Question, Wish};
use std::collections::{BTreeMap, VecDeque};

/// What a host has to do, in this order, each of it before the next. Whoever is interrupted goes on from the notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write it down.
    Note(Note),
    /// Give the kernel this answer to the question of this number.
    Answer(u64, Question, Answer),
    /// Send it to the host of this number. It may get lost.
    Send(u32, Packet),
}

/// The locks of one filesystem on one host: its own processes' part, and, when it is the one that decides, everybody's.
///
/// It neither reads a clock nor waits: it is told what happens, and says what is to be done.
#[derive(Debug)]
pub struct Host {
    own: u32,
    member: Member,
    place: Option<Place>,
    /// Not all members settle such locks with each other, and so nobody does.
    refuses: bool,
    effects: Vec<Effect>,
    /// What this host says to itself.
    inner: VecDeque<Packet>,
}

/// Its place in a generation.
#[derive(Debug)]
struct Place {
    generation: u64,
    decides: u32,
    members: Vec<u32>,
    arbiter: Option<Arbiter>,
}

impl Host {
    /// A host with this number in the lockspace, whose daemon begins. What it noted before comes first.
    #[must_use]
    pub fn new(own: u32, notes: impl IntoIterator<Item = Note>) -> Self {
        let member = Member::of(notes);
        let life = Note::Life(member.life() + 1);
        let mut host = Self {
            own,
            member,
            place: None,
            refuses: false,
            effects: Vec::new(),
            inner: VecDeque::new(),
        };
        host.write(life);
        host
    }

    /// The answer of which only the kernel knows whether it has it: the former daemon ended beside it. Nothing must be
    /// asked or answered before [`Host::resume`].
    #[must_use]
    pub fn doubtful(&self) -> Option<(u64, Question)> {
        self.member.first_in_order()
    }

    /// Goes on after a start. `told`: the kernel has the doubtful answer.
    pub fn resume(&mut self, told: bool) {
        if told && let Some((number, _)) = self.doubtful() {
            self.write(Note::Told(number));
        }
        self.deliver();
    }

    /// What is to be done since this was asked last.
    pub fn effects(&mut self) -> Vec<Effect> {
        while let Some(packet) = self.inner.pop_front() {
            self.hear(self.own, &packet);
        }
        std::mem::take(&mut self.effects)
    }

    /// How many questions of each process the kernel has no answer to, as far as is noted: those that it takes in order, or those
    /// that wait.
    #[must_use]
    pub fn askers(&self, waits: bool) -> BTreeMap<u32, usize> {
        self.member.askers(waits)
    }

    /// A former daemon was killed after it was asked something by this process, and before it noted what. The kernel would give the
    /// next answer to it; so it is given one in its place: there is no agreement.
    pub fn lost(&mut self, process: u32) {
        let number = self.member.next();
        self.write(Note::Asked(number, Question::Lost { process }));
        self.decide(number, Answer::NoAgreement);
        self.deliver();
    }

    /// Notes from which everything follows that it knows, in their short form.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        self.member.notes()
    }

    /// Every lock that processes of this host hold.
    pub fn held(&self) -> impl Iterator<Item = Wish> {
        self.member.all_held()
    }

    /// The generation in which it talks with others.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.place.as_ref().map(|place| place.generation)
    }

    /// The lockspace has started with these members, and only after each of the former generation had stopped, or is surely
    /// off.
    pub fn start(&mut self, generation: u64, members: &[u32]) {
        if self.generation() == Some(generation) {
            return;
        }
        self.stop();
        let Some(decides) = members.iter().copied().min() else {
            return;
        };
        let arbiter = (decides == self.own).then(|| Arbiter::new(self.member.life(), members));
        self.place = Some(Place {
            generation,
            decides,
            members: members.to_vec(),
            arbiter,
        });
        self.tick();
    }

    /// The lockspace has stopped. When this returns, nobody of this host is given a lock.
    pub fn stop(&mut self) {
        self.place = None;
        self.refuses = false;
        self.inner.clear();
        self.member.is_alone();
    }

    /// The lockspace has started with members of which not all settle such locks: until it stops, each is refused. What is
    /// held is held until it is let go.
    pub fn refuse(&mut self) {
        self.stop();
        self.refuses = true;
        for number in self.member.all_undecided() {
            self.refuse_one(number);
        }
        self.deliver();
    }

    fn refuse_one(&mut self, number: u64) {
        match self.member.undecided(number) {
            Some(Question::Unlock { .. }) => self.decide(number, Answer::Done),
            Some(_) => self.decide(number, Answer::NotSupported),
            None => {}
        }
    }

    /// The kernel asks. Returns the number of the question.
    pub fn ask(&mut self, question: Question) -> u64 {
        let number = self.member.next();
        let ended = self.member.ended_by(question);
        self.write(Note::Asked(number, question));
        self.member.say_asked(number, question);
        for (waiting, answer) in ended {
            self.member.say_decided(waiting, answer);
        }
        if self.refuses {
            self.refuse_one(number);
        }
        self.deliver();
        self.speak();
        number
    }

    /// A question that cannot be ended by a signal has waited for too long. An unlock is done anyway.
    pub fn give_up(&mut self, number: u64) {
        match self.member.undecided(number) {
            Some(Question::Unlock { .. }) => self.decide(number, Answer::Done),
            Some(Question::Lock { wait: false, .. } | Question::Get { .. }) => {
                self.decide(number, Answer::NoAgreement);
            }
            _ => return,
        }
        self.deliver();
        self.speak();
    }

    /// Whether the kernel still lacks the answer to a question that cannot be ended by a signal.
    #[must_use]
    pub fn holds_up(&self, number: u64) -> bool {
        let question = self.member.undecided(number);
        question.is_some_and(|question| !question.waits())
    }

    /// All questions that the kernel still lacks the answer to, and that cannot be ended by a signal.
    pub(super) fn held_up(&self) -> Vec<u64> {
        let undecided = self.member.all_undecided().into_iter();
        undecided.filter(|number| self.holds_up(*number)).collect()
    }

    /// A packet of another host, whose number was proved.
    pub fn receive(&mut self, from: u32, packet: &Packet) {
        let Some(place) = &self.place else {
            return;
        };
        if from != self.own && place.members.contains(&from) {
            self.hear(from, packet);
        }
    }

    fn hear(&mut self, from: u32, packet: &Packet) {
        let Some(place) = &mut self.place else {
            return;
        };
        if packet.generation != place.generation {
            return;
        }
        let decides = place.decides == from;
        match &packet.word {
            Word::Hello | Word::Items { .. } => {
                if let Some(arbiter) = &mut place.arbiter {
                    let words = arbiter.hear(from, &packet.word);
                    self.send(words);
                }
            }
            Word::Welcome { arbiter } if decides => {
                self.member.welcomed(*arbiter);
                self.speak();
            }
            Word::Outcomes {
                session,
                heard,
                outcomes,
            } if decides && self.member.is_in(*session) => {
                for number in self.member.heard(*heard) {
                    self.decide(number, Answer::Done);
                }
                for (number, outcome) in outcomes {
                    if self.member.undecided(*number).is_some() {
                        self.decide(*number, member::answer(*outcome));
                    }
                }
                self.deliver();
                self.speak();
            }
            Word::Welcome { .. } | Word::Outcomes { .. } => {}
        }
    }

    /// Says again what may have got lost. To be called now and then.
    pub fn tick(&mut self) {
        let Some(place) = &mut self.place else {
            return;
        };
        let decides = place.decides;
        if let Some(arbiter) = &mut place.arbiter {
            let words = arbiter.tick();
            self.send(words);
        }
        if !self.member.talks() {
            self.send(vec![(decides, Word::Hello)]);
        }
        self.say(true);
    }

    fn speak(&mut self) {
        self.say(false);
    }

    fn say(&mut self, again: bool) {
        let Some(decides) = self.place.as_ref().map(|place| place.decides) else {
            return;
        };
        let parts = self.member.speak(again).into_iter();
        let words = parts.map(|(session, first, items)| {
            let word = Word::Items {
                session,
                first,
                items,
            };
            (decides, word)
        });
        self.send(words.collect());
    }

    fn send(&mut self, words: Vec<(u32, Word)>) {
        let Some(generation) = self.generation() else {
            return;
        };
        for (to, word) in words {
            let packet = Packet { generation, word };
            if to == self.own {
                self.inner.push_back(packet);
            } else {
                self.effects.push(Effect::Send(to, packet));
            }
        }
    }

    fn decide(&mut self, number: u64, answer: Answer) {
        self.write(Note::Decided(number, answer));
        self.member.say_decided(number, answer);
    }

    fn deliver(&mut self) {
        while let Some((number, question, answer)) = self.member.deliverable() {
            if answer != Answer::Nothing {
                self.effects.push(Effect::Answer(number, question, answer));
            }
            self.write(Note::Told(number));
        }
    }

    fn write(&mut self, note: Note) {
        self.member.note(&note);
        self.effects.push(Effect::Note(note));
    }

    /// What the arbiter knows, once it decides.
    #[cfg(test)]
    pub(super) fn table(&self) -> Option<&super::Table> {
        self.place.as_ref()?.arbiter.as_ref()?.table()
    }
}
