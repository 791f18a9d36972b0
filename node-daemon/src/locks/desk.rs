use super::record::{self, Record};
use super::{Effect, Host, Notebook, Packet, Question};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For so long a question may stay without an answer that no signal can end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the desk reaches.
pub trait Outside {
    /// Gives the kernel an answer. It is taken at once or not at all.
    ///
    /// # Errors
    /// When the kernel does not take it. It is tried again.
    fn answer(&mut self, record: &Record) -> io::Result<()>;

    /// Sends a packet about a filesystem to the host of this number. It may get lost.
    fn send(&mut self, filesystem: u32, to: u32, packet: Packet);

    /// The threads that wait in the kernel for the answer to a question about a filesystem, by their processes; without those whose
    /// question was not read yet.
    fn waiting(&mut self, filesystem: u32) -> Waiting;
}

/// Threads that wait in the kernel for an answer: how many of each process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// For one that the kernel takes in the order in which it asked.
    pub in_order: BTreeMap<u32, usize>,
    /// Until a lock is free.
    pub until_free: BTreeMap<u32, usize>,
}

/// Where the kernel's questions about locks are answered: those of all filesystems of this host whose locks are shared with
/// others by [`Host`]. Questions about others are refused at once.
pub struct Desk<O> {
    directory: PathBuf,
    boot: String,
    outside: O,
    spaces: BTreeMap<u32, Space>,
}

struct Space {
    host: Host,
    book: Notebook,
    /// What is to be done, of which the first could not be.
    left: VecDeque<Effect>,
    /// Since when questions have no answer.
    since: BTreeMap<u64, Duration>,
    /// It was said that something could not be done.
    said: bool,
}

impl<O: Outside> Desk<O> {
    /// With notes in this directory, which are good for this boot.
    pub fn new(directory: &Path, boot: &str, outside: O) -> Self {
        Self {
            directory: directory.to_owned(),
            boot: boot.to_owned(),
            outside,
            spaces: BTreeMap::new(),
        }
    }

    /// What it reaches.
    pub fn outside(&mut self) -> &mut O {
        &mut self.outside
    }

    /// From now on questions about this filesystem are answered, with whatever was noted of it in this boot. This host has
    /// the number `own` among those that share it.
    ///
    /// # Errors
    /// When the notes cannot be read or written: it is not known then what this host holds, and nothing is answered.
    pub fn open(&mut self, filesystem: u32, own: u32) -> io::Result<()> {
        if self.spaces.contains_key(&filesystem) {
            return Ok(());
        }
        let path = self.path(filesystem);
        let (book, notes) = Notebook::open(&path, &self.boot)?;
        let mut host = Host::new(own, notes);
        let waiting = self.outside.waiting(filesystem);
        adopt(&mut host, &waiting);
        let space = Space {
            host,
            book,
            left: VecDeque::new(),
            since: BTreeMap::new(),
            said: false,
        };
        self.spaces.insert(filesystem, space);
        self.perform(filesystem);
        Ok(())
    }

    /// Whether something was noted of this filesystem in this boot or an earlier one.
    #[must_use]
    pub fn has_notes(&self, filesystem: u32) -> bool {
        self.path(filesystem).exists()
    }

    /// Whether questions about this filesystem are answered by what was noted.
    #[must_use]
    pub fn is_open(&self, filesystem: u32) -> bool {
        self.spaces.contains_key(&filesystem)
    }

    fn path(&self, filesystem: u32) -> PathBuf {
        self.directory.join(format!("{filesystem}.notes"))
    }

    /// The lockspace is gone from this host, and with it whatever was locked.
    ///
    /// # Errors
    /// When the notes cannot be removed. They must not be there when the filesystem is mounted again.
    pub fn close(&mut self, filesystem: u32) -> io::Result<()> {
        match fs::remove_file(self.path(filesystem)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.spaces.remove(&filesystem);
        Ok(())
    }

    /// The lockspace has started.
    pub fn start(&mut self, filesystem: u32, generation: u64, members: &[u32]) {
        if let Some(space) = self.spaces.get_mut(&filesystem) {
            space.host.start(generation, members);
        }
        self.perform(filesystem);
    }

    /// The lockspace stops. When this returns, nobody of this host is given a lock.
    pub fn stop(&mut self, filesystem: u32) {
        if let Some(space) = self.spaces.get_mut(&filesystem) {
            space.host.stop();
        }
        self.perform(filesystem);
    }

    /// The lockspace has started with members of which not all settle such locks: until it stops, each is refused.
    pub fn refuse(&mut self, filesystem: u32) {
        if let Some(space) = self.spaces.get_mut(&filesystem) {
            space.host.refuse();
        }
        self.perform(filesystem);
    }

    /// Whether the next question may be read. What was read is lost with this daemon until it is noted.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.spaces.values().all(|space| space.left.is_empty())
    }

    /// A question of the kernel's, in the order in which they are read.
    ///
    /// # Errors
    /// When the kernel does not take the answer to a question that nobody here can answer.
    pub fn read(&mut self, record: &Record, now: Duration) -> io::Result<()> {
        let filesystem = record::filesystem(record);
        let Some(space) = self.spaces.get_mut(&filesystem) else {
            return self.turn_down(record::not_supported(record));
        };
        let question = match record::question(record) {
            Ok(question) => question,
            Err(error) => {
                tracing::warn!(%error, "a question for a lock is refused");
                return self.turn_down(record::refusal(record));
            }
        };
        let number = space.host.ask(question);
        if space.host.holds_up(number) {
            space.since.insert(number, now);
        }
        self.perform(filesystem);
        Ok(())
    }

    fn turn_down(&mut self, answer: Option<Record>) -> io::Result<()> {
        answer.map_or(Ok(()), |answer| self.outside.answer(&answer))
    }

    /// A packet about a filesystem, of the host that has this number among those that share it.
    pub fn receive(&mut self, filesystem: u32, from: u32, packet: &Packet) {
        if let Some(space) = self.spaces.get_mut(&filesystem) {
            space.host.receive(from, packet);
        }
        self.perform(filesystem);
    }

    /// Says again what may have got lost, tries again what could not be done, and gives up what has waited for too long. To be
    /// called a few times a second.
    pub fn tick(&mut self, now: Duration) {
        let all: Vec<u32> = self.spaces.keys().copied().collect();
        for filesystem in all {
            self.perform(filesystem);
            if let Some(space) = self.spaces.get_mut(&filesystem) {
                space.host.tick();
                space.give_up(now);
                space.shorten();
            }
            self.perform(filesystem);
        }
    }

    /// Does what is to be done, in order, as far as it can be.
    fn perform(&mut self, filesystem: u32) {
        let Some(space) = self.spaces.get_mut(&filesystem) else {
            return;
        };
        space.left.extend(space.host.effects());
        while let Some(effect) = space.left.front() {
            let done = match effect {
                Effect::Note(note) => space.book.write(note),
                Effect::Answer(_, question, answer) => {
                    let record = record::answer(filesystem, question, *answer);
                    record.map_or(Ok(()), |record| self.outside.answer(&record))
                }
                Effect::Send(to, packet) => {
                    self.outside.send(filesystem, *to, packet.clone());
                    Ok(())
                }
            };
            if let Err(error) = done {
                if !std::mem::replace(&mut space.said, true) {
                    tracing::error!(filesystem, %error, "locks of programs wait: a step of them can be neither noted nor told");
                }
                return;
            }
            space.said = false;
            space.left.pop_front();
        }
    }
}

/// Goes on where the former daemon was killed. What it was asked is noted, and what it answered: but for one answer that it may have
/// given, and one question that it may have read. Both show in who waits.
fn adopt(host: &mut Host, waiting: &Waiting) {
    let noted = host.askers(false);
    let of =
        |counts: &BTreeMap<u32, usize>, process: u32| counts.get(&process).copied().unwrap_or(0);
    let told = host.doubtful().is_some_and(|(_, question)| {
        let process = question.process().unwrap_or(0);
        match question {
            // Whoever was interrupted still stands where it waited for the lock.
            Question::Cancel { .. } => of(&waiting.until_free, process) == 0,
            _ => of(&waiting.in_order, process) < of(&noted, process),
        }
    });
    host.resume(told);
    for (process, threads) in &waiting.in_order {
        for _ in of(&noted, *process)..*threads {
            tracing::warn!(
                process,
                "the former daemon was killed while this process asked for a lock: it is told that there is no agreement"
            );
            host.lost(*process);
        }
    }
    let noted = host.askers(true);
    for (process, threads) in &waiting.until_free {
        if *threads > of(&noted, *process) {
            tracing::error!(
                process,
                "the former daemon was killed while this process asked to wait for a lock, and nobody knows for which: end it with a signal"
            );
        }
    }
}

impl Space {
    fn give_up(&mut self, now: Duration) {
        let (host, since) = (&mut self.host, &mut self.since);
        // What a former daemon was asked has waited for longer; nobody knows how long.
        for number in host.held_up() {
            since.entry(number).or_insert(now);
        }
        since.retain(|number, since| {
            let waits = host.holds_up(*number);
            if waits && now.saturating_sub(*since) > PATIENCE {
                tracing::warn!("a lock that a program asked for is given up: the hosts have not agreed in {} s", PATIENCE.as_secs());
                host.give_up(*number);
                return false;
            }
            waits
        });
    }

    /// Only when nothing of it is left to be noted.
    fn shorten(&mut self) {
        self.left.extend(self.host.effects());
        if self.left.is_empty()
            && self.book.is_long()
            && let Err(error) = self.book.shorten(&self.host.notes())
        {
            tracing::warn!(%error, "notes of locks stay as long as they are");
        }
    }
}
