//! Hosts whose programs ask for locks: each with its daemon, a kernel of our own behind it, and members that hand on what they say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as Socket;
use std::sync::{Arc, Mutex};

use quorate_crds::{LockspaceAssignment, Name};
use tokio::net::UnixDatagram;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::kernel::Kernel;
use super::tests::{Linux, target};
use super::{Dlm, Lockspaces};
use crate::drivers::DriverError;
use crate::drivers::command::scripted::Scripted;
use crate::link::Parcel;
use crate::locks::record::{self, Record};
use crate::locks::{
    Answer, Envelope, Item, Mode, Packet, Part, Question, Range, Session, Wish, Word,
};

const GOT: i32 = 0;
const BUSY: i32 = -11;
const NO_AGREEMENT: i32 = -37;
const REFUSED: i32 = -95;
const FILESYSTEM: u32 = 77;

/// Hands on what hosts say, as a member does, and knows by itself who says it.
#[derive(Clone, Default)]
struct Member(Arc<Mutex<BTreeMap<String, mpsc::Sender<Parcel>>>>);

impl Member {
    fn connect(&self, host: &str, hears: mpsc::Sender<Parcel>) {
        let mut connected = self.0.lock().expect("whole");
        connected.insert(host.to_owned(), hears);
    }

    fn hand_on(&self, from: &str, parcel: Parcel) {
        let to = self.0.lock().expect("whole").get(&parcel.host).cloned();
        let host = from.to_owned();
        // Nobody is there: it is lost.
        let _ = to.map(|to| to.try_send(Parcel { host, ..parcel }));
    }
}

struct Host {
    name: String,
    number: u32,
    linux: Linux,
    directory: tempfile::TempDir,
    /// The daemon's side of the device.
    device: Arc<File>,
    /// The kernel's.
    kernel: UnixDatagram,
    member: Member,
    dlm: Option<Dlm>,
    wanted: Option<watch::Receiver<bool>>,
    carrying: JoinSet<()>,
}

impl Host {
    fn new(number: u32, member: &Member) -> Self {
        let (device, kernel) = Socket::pair().expect("sockets");
        device.set_nonblocking(true).expect("set");
        kernel.set_nonblocking(true).expect("set");
        let mut host = Self {
            name: format!("an{number}"),
            number,
            linux: Linux::new(),
            directory: tempfile::tempdir().expect("a directory"),
            device: Arc::new(File::from(OwnedFd::from(device))),
            kernel: UnixDatagram::from_std(kernel).expect("a socket"),
            member: member.clone(),
            dlm: None,
            wanted: None,
            carrying: JoinSet::new(),
        };
        host.begins();
        host
    }

    /// A daemon begins. One that was there has been killed.
    fn begins(&mut self) {
        self.dies();
        let device = Arc::clone(&self.device);
        let dlm = Dlm::at(
            Arc::new(Scripted::new(|_| None)),
            Kernel(Arc::new(self.linux.clone())),
            self.directory.path().join("dlm.json"),
            Box::new(move || device.try_clone().map(Some)),
        );
        let mut talk = dlm.talk().expect("the first one has it");
        self.member.connect(&self.name, talk.hears);
        let (member, name) = (self.member.clone(), self.name.clone());
        self.carrying.spawn(async move {
            while let Some(parcel) = talk.says.recv().await {
                member.hand_on(&name, parcel);
            }
        });
        self.wanted = Some(talk.wanted);
        dlm.answer();
        self.dlm = Some(dlm);
    }

    /// A daemon that is killed before it notes what it has read.
    fn reads_and_is_killed(&self) {
        let mut record = [0; record::LENGTH];
        let read = (&*self.device).read(&mut record).expect("a question");
        assert_eq!(read, record::LENGTH);
    }

    fn dies(&mut self) {
        self.carrying.abort_all();
        self.dlm = None;
    }

    fn dlm(&self) -> &Dlm {
        self.dlm.as_ref().expect("a daemon runs")
    }

    fn target(&self, generation: u64, form: Option<u32>) -> LockspaceAssignment {
        let mut target = target(generation, &[(1, 7), (2, 3)]);
        let own = target.members.iter().find(|one| one.node_id == self.number);
        target.own = own.cloned();
        target.program_locks = form;
        target
    }

    async fn mounts(&self, generation: u64, form: Option<u32>) {
        let name = Name::from("images");
        let target = self.target(generation, form);
        self.dlm().prepare(&name, &target).await.expect("ready");
        self.linux.mount_waits();
        self.starts(generation, form).await.expect("started");
        self.linux.mounted();
    }

    async fn starts(&self, generation: u64, form: Option<u32>) -> Result<(), DriverError> {
        let target = self.target(generation, form);
        Lockspaces::start(self.dlm(), &"images".into(), &target).await
    }

    async fn stops(&self, generation: u64) {
        let stopped = Lockspaces::stop(self.dlm(), &"images".into(), generation).await;
        stopped.expect("stopped");
    }

    /// A process asks its kernel, and waits there.
    async fn asks(&self, question: Question) {
        let mut record =
            record::answer(FILESYSTEM, &question, Answer::Done).expect("somebody waits");
        record[4] = 2;
        let pid = question.process().expect("somebody waits");
        let how = if question.waits() { "0x7" } else { "0x6" };
        let thread = format!("/proc/{pid}/task/{pid}");
        self.linux.file(
            &format!("{thread}/stack"),
            "[<0>] dlm_posix_lock+0x1f6/0x2e0 [dlm]\n",
        );
        self.linux.file(
            &format!("{thread}/syscall"),
            &format!("72 0x3 {how} 0x7ffd9c 0x0 0x0 0x0 0x7ffd9b 0x7f1b\n"),
        );
        self.linux.file(
            &format!("/proc/{pid}/fdinfo/3"),
            "pos:\t0\nflags:\t02\nmnt_id:\t55\nino:\t5\n",
        );
        self.linux.file(
            &format!("/proc/{pid}/mountinfo"),
            "26 1 8:1 / / rw - ext4 /dev/vda1 rw\n55 26 147:0 / /srv/images rw - gfs2 /dev/drbd0 rw\n",
        );
        self.kernel.send(&record).await.expect("asked");
    }

    /// The next answer: who is told what.
    async fn answers(&self) -> (u32, i32) {
        let mut answer: Record = [0; record::LENGTH];
        let length = self.kernel.recv(&mut answer).await.expect("an answer");
        assert_eq!(length, record::LENGTH);
        let number = |at: usize| i32::from_ne_bytes(answer[at..at + 4].try_into().expect("four"));
        let pid = number(16).cast_unsigned();
        self.goes_on(pid);
        (pid, number(24))
    }

    fn goes_on(&self, pid: u32) {
        self.linux
            .file(&format!("/proc/{pid}/task/{pid}/stack"), "[<0>] do_wait\n");
    }

    async fn gets(&self, question: Question) -> i32 {
        let pid = question.process();
        self.asks(question).await;
        let (told, result) = self.answers().await;
        assert_eq!(Some(told), pid);
        result
    }

    fn notes(&self) -> std::path::PathBuf {
        self.directory
            .path()
            .join(format!("locks/{FILESYSTEM}.notes"))
    }
}

/// Two hosts that have it mounted, the first of which decides.
async fn two(form: Option<u32>) -> (Host, Host) {
    let member = Member::default();
    let hosts = (Host::new(1, &member), Host::new(2, &member));
    hosts.0.mounts(1, form).await;
    hosts.1.mounts(1, form).await;
    hosts
}

fn lock(pid: u32) -> Wish {
    Wish {
        file: 5,
        token: pid.into(),
        part: Part {
            range: Range::new(0, 9).expect("bytes"),
            mode: Mode::Exclusive,
            pid,
        },
    }
}

fn tries(pid: u32) -> Question {
    let wish = lock(pid);
    Question::Lock { wish, wait: false }
}

fn waits(pid: u32) -> Question {
    let wish = lock(pid);
    Question::Lock { wish, wait: true }
}

fn unlocks(pid: u32) -> Question {
    let Wish { file, token, part } = lock(pid);
    Question::Unlock {
        file,
        token,
        range: part.range,
        pid,
    }
}

#[tokio::test]
async fn programs_on_two_hosts_lock_in_turn_by_way_of_a_member() {
    let (one, two) = two(Some(1)).await;
    assert!(*two.wanted.as_ref().expect("a talk").borrow());
    assert_eq!(two.gets(tries(20)).await, GOT);
    assert_eq!(one.gets(tries(10)).await, BUSY);
    one.asks(waits(11)).await;
    // The other kind of question is answered meanwhile.
    assert_eq!(one.gets(tries(12)).await, BUSY);
    assert_eq!(two.gets(unlocks(20)).await, GOT);
    assert_eq!(one.answers().await, (11, GOT));
    assert_eq!(two.gets(tries(21)).await, BUSY);
}

#[tokio::test]
async fn whoever_is_killed_leaves_what_is_held_and_who_waits_to_the_next_daemon() {
    let (mut one, mut two) = two(Some(1)).await;
    assert_eq!(two.gets(tries(20)).await, GOT);
    one.asks(waits(11)).await;
    assert_eq!(one.gets(tries(12)).await, BUSY, "so the other one was read");
    one.dies();
    two.dies();
    // The kernel keeps what is asked while no daemon runs.
    one.asks(tries(13)).await;
    one.begins();
    two.begins();
    assert_eq!(one.answers().await, (13, BUSY));
    assert_eq!(two.gets(unlocks(20)).await, GOT);
    assert_eq!(one.answers().await, (11, GOT));
}

#[tokio::test]
async fn an_answer_that_was_given_is_not_given_again() {
    let (mut one, _two) = two(Some(1)).await;
    assert_eq!(one.gets(tries(10)).await, GOT);
    one.dies();
    // It was killed before it noted that the kernel has the answer.
    let notes = std::fs::read_to_string(one.notes()).expect("notes");
    let (kept, told) = notes.trim_end().rsplit_once('\n').expect("lines");
    assert!(told.contains("told"), "{told}");
    std::fs::write(one.notes(), format!("{kept}\n")).expect("written");
    one.begins();
    assert_eq!(
        one.gets(tries(12)).await,
        BUSY,
        "the next answer is the next one's"
    );

    // The same, and the kernel has it not.
    one.dies();
    one.asks(tries(10)).await;
    one.reads_and_is_killed();
    std::fs::write(one.notes(), format!("{kept}\n")).expect("written");
    one.begins();
    assert_eq!(one.answers().await, (10, GOT));
}

#[tokio::test]
async fn what_was_read_and_not_noted_takes_the_answer_of_nobody_else() {
    let (mut one, _two) = two(Some(1)).await;
    assert_eq!(one.gets(tries(10)).await, GOT);
    one.dies();
    one.asks(tries(12)).await;
    one.reads_and_is_killed();
    one.asks(tries(13)).await;
    one.begins();
    assert_eq!(one.answers().await, (12, NO_AGREEMENT));
    assert_eq!(one.answers().await, (13, BUSY));
}

#[tokio::test]
async fn where_not_all_can_each_is_refused_until_another_generation() {
    let (one, two) = two(None).await;
    assert!(!*two.wanted.as_ref().expect("a talk").borrow());
    assert_eq!(one.gets(tries(10)).await, REFUSED);
    // The same generation, told once more by somebody who believes otherwise.
    one.starts(1, Some(1)).await.expect("started");
    assert_eq!(one.gets(tries(10)).await, REFUSED);
    for host in [&one, &two] {
        host.stops(2).await;
    }
    for host in [&one, &two] {
        host.starts(2, Some(1)).await.expect("started");
    }
    assert_eq!(one.gets(tries(10)).await, GOT);
    assert_eq!(two.gets(tries(20)).await, BUSY);
}

#[tokio::test]
async fn who_waits_is_refused_when_a_host_comes_that_cannot() {
    let (mut one, two) = two(Some(1)).await;
    assert_eq!(two.gets(tries(20)).await, GOT);
    one.asks(waits(11)).await;
    assert_eq!(one.gets(tries(12)).await, BUSY);
    for host in [&one, &two] {
        host.stops(2).await;
    }
    one.starts(2, None).await.expect("started");
    assert_eq!(one.answers().await, (11, REFUSED));
    one.begins();
    assert_eq!(one.gets(tries(12)).await, REFUSED);
    assert!(!*one.wanted.as_ref().expect("a talk").borrow());
}

#[tokio::test]
async fn nothing_is_given_between_a_stop_and_a_start() {
    let (one, two) = two(Some(1)).await;
    for host in [&one, &two] {
        host.stops(2).await;
    }
    one.asks(tries(10)).await;
    one.starts(2, Some(1)).await.expect("started");
    two.asks(tries(20)).await;
    assert_eq!(
        one.kernel
            .try_recv(&mut [0; record::LENGTH])
            .map_err(|error| error.kind()),
        Err(std::io::ErrorKind::WouldBlock)
    );
    two.starts(2, Some(1)).await.expect("started");
    let mut results = [one.answers().await, two.answers().await].map(|(_, result)| result);
    results.sort_unstable();
    assert_eq!(results, [BUSY, GOT]);
}

#[tokio::test]
async fn a_host_that_is_no_member_is_not_believed() {
    let (one, two) = two(Some(1)).await;
    assert_eq!(two.gets(tries(20)).await, GOT);
    let arbiter = life(&one);
    let session = Session {
        arbiter,
        life: 99,
        count: 1,
    };
    let nothing_is_held = Envelope {
        filesystem: FILESYSTEM,
        packet: Packet {
            generation: 1,
            word: Word::Items {
                session,
                first: 0,
                items: vec![Item::Whole],
            },
        },
    };
    let forged = |host: &str| Parcel {
        host: host.to_owned(),
        content: nothing_is_held.to_bytes().expect("written").into(),
    };
    // It says that the second host holds nothing, but is a third one.
    one.member.hand_on("an3", forged("an1"));
    one.member.hand_on(
        "an3",
        Parcel {
            content: "[".into(),
            ..forged("an1")
        },
    );
    assert_eq!(one.gets(tries(10)).await, BUSY);
    // From the member itself it would count.
    one.member.hand_on("an2", forged("an1"));
    assert_eq!(one.gets(tries(10)).await, GOT);
}

/// The life of a host's daemon, as it was noted.
fn life(host: &Host) -> u64 {
    let notes = std::fs::read_to_string(host.notes()).expect("notes");
    let mut lives = notes
        .lines()
        .filter_map(|line| line.strip_prefix("{\"life\":"));
    let life = lives.next_back().and_then(|rest| rest.strip_suffix('}'));
    life.expect("a life").parse().expect("a number")
}

#[tokio::test]
async fn what_was_locked_is_gone_with_the_lockspace() {
    let (one, two) = two(Some(1)).await;
    assert_eq!(two.gets(tries(20)).await, GOT);
    assert!(two.notes().exists());
    two.stops(2).await;
    two.linux.gone();
    assert_eq!(two.dlm().observe().await.expect("seen"), []);
    assert!(!two.notes().exists());
    assert!(!*two.wanted.as_ref().expect("a talk").borrow());
    drop(one);
}

#[tokio::test]
async fn a_form_that_this_release_does_not_know_is_not_begun() {
    let (one, _two) = two(Some(1)).await;
    one.stops(2).await;
    let error = one.starts(2, Some(2)).await.expect_err("another release");
    assert!(error.to_string().contains("upgrade"), "{error}");
}
