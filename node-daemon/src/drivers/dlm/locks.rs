//! Locks of programs (POSIX and OFD) on cluster filesystems, as the kernel asks for them.
//!
//! The kernel hands each of them to a program, and whoever asked waits for the answer, most of them so that nothing ends it.
//! [`crate::locks`] decides; here is what is around it on a real host: the device, the way to the other hosts, and
//! what lockspaces do. Where a generation has no form in which its members settle such locks, and on a filesystem that is not ours, each is
//! refused at once.
//!
//! Nothing here waits for another host, or for the kernel: a question that has no answer yet is a note, not a task.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::kernel::{Asker, Kernel};
use super::notes::{Notes, Space};
use super::{Shared, failed};
use crate::drivers::{DriverError, LockTalk, Trouble};
use crate::link::Parcel;
use crate::locks::record::{self, Record};
use crate::locks::{Desk, Envelope, FORM, Outside, Packet, Waiting};

/// udev moves it into a directory of its own.
const PLACES: [&str; 2] = ["/dev/misc/dlm_plock", "/dev/dlm_plock"];
/// Until the device is there, and after it was lost.
const AGAIN: Duration = Duration::from_secs(1);
/// How often what may have got lost is said again.
const TICK: Duration = Duration::from_millis(250);
/// Parcels that wait, either way. More are dropped.
const QUEUE: usize = 256;
/// Questions that are read before others have their turn.
const AT_ONCE: usize = 64;

/// Opens the device; none, while it is not there.
pub(super) type Open = dyn Fn() -> io::Result<Option<File>> + Send + Sync;

pub(super) fn of_this_machine() -> io::Result<Option<File>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    for place in PLACES {
        let mut how = File::options();
        how.read(true).write(true).custom_flags(nonblocking);
        match how.open(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.map(Some),
        }
    }
    Ok(None)
}

/// The desk of this host, and its ends of the way to others.
pub(super) struct ProgramLocks {
    kernel: Kernel,
    /// Where its notes are.
    directory: PathBuf,
    open: Box<Open>,
    desk: Mutex<Option<Desk<Ways>>>,
    begun: Instant,
    wanted: watch::Sender<bool>,
    say: mpsc::Sender<Parcel>,
    hear: mpsc::Sender<Parcel>,
    /// Taken once, by whoever carries it to the others.
    said: Mutex<Option<mpsc::Receiver<Parcel>>>,
    /// Taken once, by whoever serves.
    heard: Mutex<Option<mpsc::Receiver<Parcel>>>,
}

/// What the desk reaches.
pub(super) struct Ways {
    device: Option<File>,
    /// Who waited when this daemon began.
    waiting: BTreeMap<u32, Waiting>,
    say: mpsc::Sender<Parcel>,
    /// The hosts that share each filesystem in its present generation, by their numbers.
    members: BTreeMap<u32, BTreeMap<u32, String>>,
}

impl Outside for Ways {
    fn answer(&mut self, record: &Record) -> io::Result<()> {
        let Some(device) = &mut self.device else {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the kernel's device for locks of programs is not open",
            ));
        };
        device.write_all(record)
    }

    fn send(&mut self, filesystem: u32, to: u32, packet: Packet) {
        let members = self.members.get(&filesystem);
        let Some(host) = members.and_then(|members| members.get(&to)) else {
            return;
        };
        match (Envelope { filesystem, packet }).to_bytes() {
            Ok(bytes) => {
                // What finds no room is lost, and said again.
                let _ = self.say.try_send(Parcel {
                    host: host.clone(),
                    content: bytes.into(),
                });
            }
            Err(error) => tracing::error!(%error, "a word to another host cannot be written"),
        }
    }

    fn waiting(&mut self, filesystem: u32) -> Waiting {
        self.waiting.remove(&filesystem).unwrap_or_default()
    }
}

impl ProgramLocks {
    pub(super) fn new(kernel: Kernel, directory: PathBuf, open: Box<Open>) -> Self {
        let (say, said) = mpsc::channel(QUEUE);
        let (hear, heard) = mpsc::channel(QUEUE);
        Self {
            kernel,
            directory,
            open,
            desk: Mutex::default(),
            begun: Instant::now(),
            wanted: watch::Sender::new(false),
            say,
            hear,
            said: Mutex::new(Some(said)),
            heard: Mutex::new(Some(heard)),
        }
    }

    /// This host's end of the talk with others, once.
    pub(super) fn talk(&self) -> Option<LockTalk> {
        let says = lock(&self.said).take()?;
        Some(LockTalk {
            wanted: self.wanted.subscribe(),
            says,
            hears: self.hear.clone(),
        })
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Does something at the desk. The first one finds what a former daemon has noted, before anything is changed.
    fn at_desk<T>(
        &self,
        work: impl FnOnce(&mut Desk<Ways>) -> io::Result<T>,
    ) -> Result<T, DriverError> {
        let locks = &self.locks;
        let fails = |error| failed("what is noted of locks of programs", error);
        let mut guard = lock(&locks.desk);
        let desk = match &mut *guard {
            Some(desk) => desk,
            empty => {
                let notes = self.noted()?;
                let desk = resumed(locks, &notes).map_err(fails)?;
                empty.insert(desk)
            }
        };
        let done = work(desk).map_err(fails);
        let wanted = !desk.outside().members.is_empty();
        locks.wanted.send_if_modified(|known| {
            let other = *known != wanted;
            *known = wanted;
            other
        });
        done
    }

    /// The lockspace gives locks, and those of programs in the form that this generation has, or none.
    pub(super) fn locks_start(&self, space: &Space) -> Result<(), DriverError> {
        self.at_desk(|desk| begin(desk, space))
    }

    /// When this returns, nobody of this host is given a lock.
    pub(super) fn locks_stop(&self, space: &Space) -> Result<(), DriverError> {
        let Some(id) = space.id else { return Ok(()) };
        self.at_desk(|desk| {
            desk.stop(id);
            Ok(())
        })
    }

    /// The lockspace is gone, and whatever was locked with it.
    pub(super) fn locks_end(&self, id: u32) -> Result<(), DriverError> {
        self.at_desk(|desk| {
            desk.outside().members.remove(&id);
            desk.close(id)
        })
    }
}

/// The plan takes the oldest form that all members speak; this release may be older than the one that named it.
pub(super) fn knows(form: Option<u32>) -> Result<(), DriverError> {
    if form.is_some_and(|form| form > FORM) {
        return Err(DriverError::passing(
            Trouble::WaitsForOthers,
            "locks of programs are settled in a newer form than this release knows: upgrade quorate-node on this host",
        ));
    }
    Ok(())
}

/// A desk that knows what a former daemon of this boot knew, and what programs have asked while none ran.
fn resumed(locks: &ProgramLocks, notes: &Notes) -> io::Result<Desk<Ways>> {
    let ways = Ways {
        device: None,
        waiting: BTreeMap::new(),
        say: locks.say.clone(),
        members: BTreeMap::new(),
    };
    let mut desk = Desk::new(&locks.directory, &notes.boot, ways);
    let ids = notes.spaces.values().filter_map(|space| space.id);
    let mut unread = Vec::new();
    if ids.into_iter().any(|id| desk.has_notes(id)) {
        let Some(mut device) = (locks.open)()? else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the kernel's device for locks of programs is not there",
            ));
        };
        // Whoever waits before and after all was read that there is, waits for what a former daemon has read.
        let before = locks.kernel.askers();
        unread = read_all(&mut device)?;
        let after = locks.kernel.askers();
        let (stand, come) = after.into_iter().partition(|one| before.contains(one));
        let ways = desk.outside();
        ways.waiting = sorted(&locks.kernel, notes, stand, come, &unread);
        ways.device = Some(device);
    }
    for space in notes.spaces.values() {
        match (space.id, space.own) {
            (Some(_), Some(_)) if space.running => begin(&mut desk, space)?,
            (Some(id), Some(own)) if desk.has_notes(id) => desk.open(id, own)?,
            _ => {}
        }
    }
    for question in &unread {
        desk.read(question, locks.now())?;
    }
    Ok(desk)
}

/// Everything that the kernel has to ask at present.
fn read_all(device: &mut File) -> io::Result<Vec<Record>> {
    let mut all = Vec::new();
    loop {
        let mut question: Record = [0; record::LENGTH];
        match device.read(&mut question) {
            Ok(record::LENGTH) => all.push(question),
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}

/// Who waits for what a former daemon has read, by filesystems: those who stand there, without those whose question was just read,
/// unless these have come meanwhile.
fn sorted(
    kernel: &Kernel,
    notes: &Notes,
    stand: Vec<Asker>,
    mut come: Vec<Asker>,
    unread: &[Record],
) -> BTreeMap<u32, Waiting> {
    let mut sorted = BTreeMap::new();
    for space in notes.spaces.values() {
        let Some(id) = space.id else { continue };
        let device = kernel.device_below(&space.table);
        let mut waiting = Waiting::default();
        // Where there is one filesystem alone, nobody can wait for another one.
        let alone = notes.spaces.len() == 1;
        let meant = |asker: &&Asker| match (&asker.device, &device) {
            (Some(one), Some(other)) => one == other,
            _ => alone,
        };
        for asker in stand.iter().filter(meant) {
            let threads = threads(&mut waiting, asker.until_free);
            *threads.entry(asker.process).or_default() += 1;
        }
        let unread = unread
            .iter()
            .filter(|question| record::filesystem(question) == id);
        for question in unread.filter_map(|question| record::question(question).ok()) {
            let process = question.process().unwrap_or(0);
            let asks = |one: &Asker| one.process == process && one.until_free == question.waits();
            if let Some(at) = come.iter().position(asks) {
                come.swap_remove(at);
                continue;
            }
            let threads = threads(&mut waiting, question.waits());
            if let Some(count) = threads.get_mut(&process) {
                *count = count.saturating_sub(1);
            }
        }
        sorted.insert(id, waiting);
    }
    sorted
}

fn threads(waiting: &mut Waiting, until_free: bool) -> &mut BTreeMap<u32, usize> {
    match until_free {
        true => &mut waiting.until_free,
        false => &mut waiting.in_order,
    }
}

fn begin(desk: &mut Desk<Ways>, space: &Space) -> io::Result<()> {
    let (Some(id), Some(own), Some(generation)) = (space.id, space.own, space.generation) else {
        return Ok(());
    };
    if space.program_locks.is_none() {
        desk.outside().members.remove(&id);
        // What was locked in an earlier generation is let go in order.
        if desk.has_notes(id) {
            desk.open(id, own)?;
            desk.refuse(id);
        }
        return Ok(());
    }
    let members = space.members.iter();
    let members = members.map(|(number, member)| (*number, member.node.to_string()));
    let numbers: Vec<u32> = space.members.keys().copied().collect();
    desk.open(id, own)?;
    desk.outside().members.insert(id, members.collect());
    desk.start(id, generation, &numbers);
    Ok(())
}

/// Answers until the lock manager of this host is given up.
pub(super) async fn answer(shared: Weak<Shared>) {
    let heard = shared
        .upgrade()
        .and_then(|shared| lock(&shared.locks.heard).take());
    let Some(mut heard) = heard else { return };
    loop {
        if let Err(error) = serve(&shared, &mut heard).await {
            tracing::warn!(%error, "locks of programs are not answered at present");
        }
        if shared.strong_count() == 0 {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Serves while the device is open. It is not opened where nothing of ours is mounted: there another program may answer.
async fn serve(shared: &Weak<Shared>, heard: &mut mpsc::Receiver<Parcel>) -> io::Result<()> {
    let prepared = shared.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let Some(shared) = prepared.upgrade() else {
            return Ok(None);
        };
        let ours = shared.noted().is_ok_and(|notes| !notes.spaces.is_empty());
        if !ours {
            return Ok(None);
        }
        let Some(device) = (shared.locks.open)()? else {
            return Ok(None);
        };
        let questions = device.try_clone()?;
        let ready = shared.at_desk(|desk| {
            desk.outside().device = Some(device);
            Ok(())
        });
        ready.map_err(io::Error::other)?;
        Ok::<_, io::Error>(Some(questions))
    });
    let Some(questions) = opened.await.map_err(io::Error::other)?? else {
        return Ok(());
    };
    // No pipe, but read like one: each read is one question.
    let questions = Receiver::from_owned_fd_unchecked(questions.into())?;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut may_read = true;
    loop {
        let happened = tokio::select! {
            ready = questions.readable(), if may_read => {
                ready?;
                Happened::Asked
            }
            Some(parcel) = heard.recv() => Happened::Heard(parcel),
            _ = tick.tick() => Happened::Nothing,
        };
        let Some(shared) = shared.upgrade() else {
            return Ok(());
        };
        let now = shared.locks.now();
        // Where nothing of ours is mounted any more, another program may answer.
        let over = matches!(happened, Happened::Nothing)
            && shared.noted().is_ok_and(|notes| notes.spaces.is_empty());
        let done = shared.at_desk(|desk| {
            if over {
                desk.outside().device = None;
            }
            match happened {
                Happened::Asked => read(&questions, desk, now)?,
                Happened::Heard(parcel) => hear(desk, &parcel),
                Happened::Nothing => desk.tick(now),
            }
            Ok(desk.may_read())
        });
        may_read = done.map_err(io::Error::other)?;
        if over {
            return Ok(());
        }
    }
}

enum Happened {
    Asked,
    Heard(Parcel),
    Nothing,
}

/// Reads what the kernel asks. Each question is noted before the next one is read.
fn read(questions: &Receiver, desk: &mut Desk<Ways>, now: Duration) -> io::Result<()> {
    for _ in 0..AT_ONCE {
        if !desk.may_read() {
            return Ok(());
        }
        let mut question: Record = [0; record::LENGTH];
        match questions.try_read(&mut question) {
            Ok(record::LENGTH) => desk.read(&question, now)?,
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Only a host that is a member of the present generation is believed; the generation itself is looked at by the desk.
fn hear(desk: &mut Desk<Ways>, parcel: &Parcel) {
    let envelope = match Envelope::from_bytes(&parcel.content) {
        Ok(envelope) => envelope,
        Err(error) => {
            tracing::debug!(host = parcel.host, %error, "what a host says about locks is not understood");
            return;
        }
    };
    let filesystem = envelope.filesystem;
    let members = desk
        .outside()
        .members
        .get(&filesystem)
        .into_iter()
        .flatten();
    let from = members
        .filter(|(_, host)| **host == parcel.host)
        .map(|(number, _)| *number)
        .next();
    if let Some(from) = from {
        desk.receive(filesystem, from, &envelope.packet);
    }
}
