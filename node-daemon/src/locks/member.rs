//! What the processes of this host hold and ask for: the truth about them, whatever anybody else believes.
//!
//! All of it follows from the notes, so that a daemon that starts knows it.

use super::packet::{self, Item, Outcome, Session};
use super::{Answer, Held, Note, Question, Range, Wish};
use std::collections::{BTreeMap, VecDeque};

/// One host's part in the locks of one filesystem.
#[derive(Debug, Default)]
pub(super) struct Member {
    life: u64,
    next: u64,
    held: BTreeMap<(u64, u64), Held>,
    open: BTreeMap<u64, Open>,
    /// Those whose answers may not overtake each other.
    in_order: VecDeque<u64>,
    talk: Option<Talk>,
    talks: u64,
}

/// A question whose answer the kernel does not have yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    question: Question,
    decided: Option<Answer>,
    /// An unlock is answered when the arbiter has heard everything before this place.
    heard_at: Option<u64>,
}

/// A session, and what the arbiter has not heard yet.
#[derive(Debug)]
struct Talk {
    session: Session,
    heard: u64,
    items: VecDeque<Item>,
    /// What was said once already, of these.
    said: usize,
}

impl Member {
    /// Goes on where these notes end.
    pub(super) fn of(notes: impl IntoIterator<Item = Note>) -> Self {
        let mut member = Self::default();
        for note in notes {
            member.note(&note);
        }
        member
    }

    /// What follows from a note.
    pub(super) fn note(&mut self, note: &Note) {
        match *note {
            Note::Life(life) => self.life = life,
            Note::Next(next) => self.next = next,
            Note::Has(wish) => self.hold(wish),
            Note::Open(number, question, decided) => self.open(number, question, decided),
            Note::Asked(number, question) => {
                self.next = self.next.max(number + 1);
                let ended = self.ended_by(question);
                for (waiting, answer) in &ended {
                    if let Some(open) = self.open.get_mut(waiting) {
                        open.decided = Some(*answer);
                    }
                }
                match question {
                    Question::Unlock {
                        file, token, range, ..
                    } => self.release(file, token, range),
                    Question::Close { file, token } => self.release(file, token, Range::ALL),
                    _ => {}
                }
                if question.has_answer() {
                    let decided = match question {
                        Question::Cancel { .. } if ended.is_empty() => Some(Answer::NoSuch),
                        Question::Cancel { .. } => Some(Answer::Done),
                        _ => None,
                    };
                    self.open(number, question, decided);
                }
            }
            Note::Decided(number, answer) => {
                let Some(open) = self.open.get_mut(&number) else {
                    return;
                };
                open.decided = Some(answer);
                if let (Question::Lock { wish, .. }, Answer::Done) = (open.question, answer) {
                    self.hold(wish);
                }
            }
            Note::Told(number) => {
                self.open.remove(&number);
                self.in_order.retain(|one| *one != number);
            }
        }
    }

    /// Notes from which the same follows.
    pub(super) fn notes(&self) -> Vec<Note> {
        let mut notes = vec![Note::Life(self.life)];
        notes.extend(self.all_held().map(Note::Has));
        notes.extend(
            self.open
                .iter()
                .map(|(number, open)| Note::Open(*number, open.question, open.decided)),
        );
        notes.push(Note::Next(self.next));
        notes
    }

    pub(super) fn life(&self) -> u64 {
        self.life
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn all_held(&self) -> impl Iterator<Item = Wish> {
        self.held.iter().flat_map(|((file, token), held)| {
            held.parts().iter().map(|part| Wish {
                file: *file,
                token: *token,
                part: *part,
            })
        })
    }

    fn open(&mut self, number: u64, question: Question, decided: Option<Answer>) {
        let heard_at = None;
        let open = Open {
            question,
            decided,
            heard_at,
        };
        self.open.insert(number, open);
        if !question.waits() {
            self.in_order.push_back(number);
        }
    }

    fn hold(&mut self, wish: Wish) {
        let held = self.held.entry((wish.file, wish.token)).or_default();
        held.lock(wish.part);
    }

    fn release(&mut self, file: u64, token: u64, range: Range) {
        if let Some(held) = self.held.get_mut(&(file, token)) {
            held.unlock(range);
            if held.is_empty() {
                self.held.remove(&(file, token));
            }
        }
    }

    /// Says to the arbiter what follows from a new question; it is noted already.
    pub(super) fn say_asked(&mut self, number: u64, question: Question) {
        match question {
            Question::Lock { wish, wait } => self.say(Item::Lock { number, wish, wait }),
            Question::Get { wish } => self.say(Item::Get { number, wish }),
            Question::Unlock {
                file, token, range, ..
            } => {
                self.say(Item::Released { file, token, range });
                let end = self.talk.as_ref().map(Talk::end);
                if let Some(open) = self.open.get_mut(&number) {
                    open.heard_at = end;
                }
            }
            Question::Close { file, token } => {
                let range = Range::ALL;
                self.say(Item::Released { file, token, range });
            }
            Question::Cancel { .. } | Question::Lost { .. } => {}
        }
    }

    /// Says to the arbiter what follows from an answer; it is noted already.
    pub(super) fn say_decided(&mut self, number: u64, answer: Answer) {
        let Some(open) = self.open.get(&number) else {
            return;
        };
        match (open.question, answer) {
            (Question::Lock { .. }, Answer::Done) => self.say(Item::Taken(number)),
            (Question::Lock { .. } | Question::Get { .. }, _) => self.say(Item::Over(number)),
            _ => {}
        }
    }

    fn say(&mut self, item: Item) {
        if let Some(talk) = &mut self.talk {
            talk.items.push_back(item);
        }
    }

    /// The question, when it has no answer yet.
    pub(super) fn undecided(&self, number: u64) -> Option<Question> {
        let open = self.open.get(&number)?;
        open.decided.is_none().then_some(open.question)
    }

    /// Every question that has no answer yet.
    pub(super) fn all_undecided(&self) -> Vec<u64> {
        let undecided = self.open.iter().filter(|(_, open)| open.decided.is_none());
        undecided.map(|(number, _)| *number).collect()
    }

    /// Requests that wait, and that a question ends. A signal does not wait for other hosts: if the lock was offered
    /// meanwhile, the arbiter hears that nobody took it.
    pub(super) fn ended_by(&self, question: Question) -> Vec<(u64, Answer)> {
        let waits = self.open.iter().filter(|(_, open)| open.decided.is_none());
        let waits = waits.filter_map(|(number, open)| match open.question {
            Question::Lock { wish, wait: true } => Some((*number, wish)),
            _ => None,
        });
        match question {
            Question::Cancel { wish } => waits
                .filter(|(_, waiting)| *waiting == wish)
                .map(|(number, _)| (number, Answer::Nothing))
                .take(1)
                .collect(),
            Question::Close { file, token } => waits
                .filter(|(_, waiting)| waiting.file == file && waiting.token == token)
                .map(|(number, _)| (number, Answer::Ended))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The next answer that the kernel may have.
    pub(super) fn deliverable(&self) -> Option<(u64, Question, Answer)> {
        let first = self.in_order.front().copied();
        self.open.iter().find_map(|(number, open)| {
            let may = open.question.waits() || first == Some(*number);
            open.decided
                .filter(|_| may)
                .map(|answer| (*number, open.question, answer))
        })
    }

    /// How many questions of each process the kernel has no answer to: those that it takes in order, or those that wait.
    pub(super) fn askers(&self, waits: bool) -> BTreeMap<u32, usize> {
        let mut askers = BTreeMap::new();
        let open = self.open.values().map(|open| open.question);
        for process in open
            .filter(|question| question.waits() == waits)
            .filter_map(|question| question.process())
        {
            *askers.entry(process).or_default() += 1;
        }
        askers
    }

    /// The answer that is the next one of those in order, when it is decided.
    pub(super) fn first_in_order(&self) -> Option<(u64, Question)> {
        let first = self.in_order.front()?;
        let open = self.open.get(first)?;
        open.decided.map(|_| (*first, open.question))
    }

    /// The arbiter has this life: everything is said from the beginning. Not, when the talk with it goes on.
    pub(super) fn welcomed(&mut self, arbiter: u64) {
        if let Some(talk) = &self.talk
            && talk.session.arbiter >= arbiter
        {
            return;
        }
        self.talks += 1;
        let session = Session {
            arbiter,
            life: self.life,
            count: self.talks,
        };
        let mut items: VecDeque<Item> = self.all_held().map(Item::Has).collect();
        items.push_back(Item::Whole);
        let whole = items.len() as u64;
        for (number, open) in &mut self.open {
            if open.decided.is_some() {
                continue;
            }
            let number = *number;
            match open.question {
                Question::Lock { wish, wait } => items.push_back(Item::Lock { number, wish, wait }),
                Question::Get { wish } => items.push_back(Item::Get { number, wish }),
                Question::Unlock { .. } => open.heard_at = Some(whole),
                Question::Close { .. } | Question::Cancel { .. } | Question::Lost { .. } => {}
            }
        }
        self.talk = Some(Talk {
            session,
            heard: 0,
            items,
            said: 0,
        });
    }

    /// There is no arbiter any more.
    pub(super) fn is_alone(&mut self) {
        self.talk = None;
        for open in self.open.values_mut() {
            open.heard_at = None;
        }
    }

    pub(super) fn talks(&self) -> bool {
        self.talk.is_some()
    }

    pub(super) fn is_in(&self, session: Session) -> bool {
        self.talk
            .as_ref()
            .is_some_and(|talk| talk.session == session)
    }

    /// The arbiter has heard everything before this place. Returns the unlocks that are answered with this.
    pub(super) fn heard(&mut self, place: u64) -> Vec<u64> {
        let Some(talk) = &mut self.talk else {
            return Vec::new();
        };
        while talk.heard < place && talk.items.pop_front().is_some() {
            talk.heard += 1;
            talk.said = talk.said.saturating_sub(1);
        }
        let heard = talk.heard;
        let unlocked = self.open.iter().filter(|(_, open)| {
            open.decided.is_none() && open.heard_at.is_some_and(|place| place <= heard)
        });
        unlocked.map(|(number, _)| *number).collect()
    }

    /// What the arbiter has not been told; with `again`, what it has not heard.
    pub(super) fn speak(&mut self, again: bool) -> Vec<(Session, u64, Vec<Item>)> {
        let Some(talk) = &mut self.talk else {
            return Vec::new();
        };
        let from = if again { 0 } else { talk.said };
        talk.said = talk.items.len();
        let new: Vec<Item> = talk.items.iter().skip(from).copied().collect();
        let parts = new.chunks(packet::MOST).enumerate();
        let first = talk.heard + from as u64;
        parts
            .map(|(part, items)| {
                let place = first + (part * packet::MOST) as u64;
                (talk.session, place, items.to_vec())
            })
            .collect()
    }
}

impl Talk {
    fn end(&self) -> u64 {
        self.heard + self.items.len() as u64
    }
}

/// The answer that an outcome comes to.
pub(super) fn answer(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Offered => Answer::Done,
        Outcome::Busy => Answer::Busy,
        Outcome::Found(found) => Answer::Found(found),
    }
}
