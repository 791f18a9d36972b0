use super::super::WatchdogPolicy;
use super::*;
use crate::drivers::WatchdogFound;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

const SECOND: Duration = Duration::from_secs(1);

pub(in crate::lease) fn setup(bound_to_lease: bool) -> Setup {
    Setup {
        boot_id: "boot".into(),
        node: "an1".into(),
        incarnation: 7,
        key: [9; 32],
        members: vec![
            vec!["a.ring0".into(), "a.ring1".into()],
            vec!["b.ring0".into(), String::new()],
        ],
        interval: Duration::from_millis(250),
        daemon_patience: 5 * SECOND,
        restart_grace: 30 * SECOND,
        watchdog: WatchdogPolicy {
            armed: true,
            bound_to_lease,
            timeout: 10 * SECOND,
        },
    }
}

/// Members that grant a ten second lease for every beat, while they are connected.
#[derive(Clone, Default)]
struct Members(Arc<Mutex<Talk>>);

#[derive(Default)]
struct Talk {
    sent: Vec<(usize, usize, DaemonState)>,
    answers: VecDeque<Vec<u8>>,
    cut: bool,
}

impl Members {
    fn sent(&self) -> Vec<(usize, usize, DaemonState)> {
        std::mem::take(&mut self.0.lock().expect("unpoisoned").sent)
    }

    fn cut(&self) {
        self.0.lock().expect("unpoisoned").cut = true;
    }
}

impl Wire for Members {
    fn members_are(&mut self, _members: &[Rings]) {}

    fn send(&mut self, member: usize, ring: usize, datagram: &[u8]) {
        let key = HeartbeatKey::new(&[9; 32]);
        Beat::verify(datagram, &key).expect("authentic");
        let beat = Beat::decode(datagram).expect("a beat");
        let mut talk = self.0.lock().expect("unpoisoned");
        talk.sent.push((member, ring, beat.daemon));
        if talk.cut {
            return;
        }
        let mut answer = [0; MAX_LENGTH];
        let grant = Grant {
            ring: beat.ring,
            sequence: beat.sequence,
            term: 1,
            member: member as u64,
            lease_ms: 10_000,
            lowest_valid_generation: 4,
            incarnation: beat.incarnation,
        };
        let length = grant.encode(&key, &mut answer);
        talk.answers.push_back(answer[..length].to_vec());
    }

    fn poll_receive(
        &mut self,
        _context: &mut Context<'_>,
        buffer: &mut [u8; MAX_LENGTH],
    ) -> Poll<usize> {
        match self.0.lock().expect("unpoisoned").answers.pop_front() {
            Some(answer) => {
                buffer[..answer.len()].copy_from_slice(&answer);
                Poll::Ready(answer.len())
            }
            None => Poll::Pending,
        }
    }
}

#[derive(Default)]
struct Fed {
    armed: bool,
    last: Option<Instant>,
}

struct Dog(WatchdogFound, Arc<Mutex<Fed>>);

impl Dog {
    fn new(fed: &Arc<Mutex<Fed>>) -> Self {
        let found = WatchdogFound {
            device: "test".into(),
            identity: "test".into(),
            hardware: true,
        };
        Self(found, Arc::clone(fed))
    }
}

impl Watchdog for Dog {
    fn found(&self) -> &WatchdogFound {
        &self.0
    }
    fn arm(&mut self, timeout: Duration) -> io::Result<Duration> {
        self.1.lock().expect("unpoisoned").armed = true;
        Ok(timeout)
    }
    fn feed(&mut self) -> io::Result<()> {
        self.1.lock().expect("unpoisoned").last = Some(Instant::now());
        Ok(())
    }
    fn disarm(&mut self) -> io::Result<()> {
        self.1.lock().expect("unpoisoned").armed = false;
        Ok(())
    }
}

struct TokioClock(Instant);

impl BootClock for TokioClock {
    fn now(&self) -> Duration {
        // A host that has been up for a while.
        100 * SECOND + self.0.elapsed()
    }
}

struct Running {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<LeaseView>,
    members: Members,
    fed: Arc<Mutex<Fed>>,
    clock: TokioClock,
}

fn start(bound_to_lease: bool) -> Running {
    let (commands, mut inbox) = mpsc::channel(8);
    let (sender, view) = watch::channel(LeaseView::default());
    let members = Members::default();
    let fed = Arc::new(Mutex::new(Fed::default()));
    let (mut wire, mut dog) = (members.clone(), Dog::new(&fed));
    let begin = Instant::now();
    tokio::spawn(async move {
        let clock = TokioClock(begin);
        beat(
            Some(setup(bound_to_lease)),
            &mut wire,
            &mut dog,
            &clock,
            &mut inbox,
            &sender,
        )
        .await;
    });
    Running {
        commands,
        view,
        members,
        fed,
        clock: TokioClock(begin),
    }
}

impl Running {
    async fn pass(&self, time: Duration, daemon_lives: bool) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if daemon_lives {
                self.commands.send(Command::Alive).await.expect("it beats");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn fresh(&self) -> bool {
        self.view.borrow().fresh(self.clock.now())
    }

    fn hungry_for(&self) -> Duration {
        self.fed
            .lock()
            .expect("unpoisoned")
            .last
            .expect("it was fed")
            .elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_heart_beats_to_every_member_on_every_ring_that_it_has() {
    let running = start(false);
    running.pass(SECOND, true).await;
    let sent = running.members.sent();
    for (member, ring) in [(0, 0), (0, 1), (1, 0)] {
        let beats = sent
            .iter()
            .filter(|(m, r, _)| (*m, *r) == (member, ring))
            .count();
        assert!(
            (4..=5).contains(&beats),
            "member {member} ring {ring}: {beats} beats in a second"
        );
    }
    assert!(
        !sent
            .iter()
            .any(|(member, ring, _)| (*member, *ring) == (1, 1)),
        "it has no such ring"
    );
    assert!(running.fresh());
    assert_eq!(running.view.borrow().lowest_valid_generation, 4);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_cut_off_loses_its_lease_and_then_its_watchdog_starves() {
    let running = start(true);
    running.pass(SECOND, true).await;
    assert!(running.fed.lock().expect("unpoisoned").armed);
    running.members.cut();
    running.pass(Duration::from_millis(9_500), true).await;
    assert!(running.fresh(), "nothing is given up early");
    running.pass(SECOND, true).await;
    assert!(!running.fresh());
    running.pass(5 * SECOND, true).await;
    assert!(
        running.hungry_for() >= 5 * SECOND,
        "the daemon is well, and that does not count here"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_watchdog_level_a_host_that_is_cut_off_feeds_on() {
    let running = start(false);
    running.pass(SECOND, true).await;
    running.members.cut();
    running.pass(60 * SECOND, true).await;
    assert!(!running.fresh());
    assert!(running.hungry_for() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_restarted_is_awaited_and_one_that_is_stuck_is_told_apart() {
    let running = start(false);
    running.pass(SECOND, true).await;
    running.members.sent();

    running
        .commands
        .send(Command::Closed)
        .await
        .expect("it beats");
    running.pass(20 * SECOND, false).await;
    let said = running.members.sent();
    assert!(
        said.iter()
            .skip(3)
            .all(|(_, _, daemon)| *daemon == DaemonState::Restarting)
    );
    assert!(running.hungry_for() < SECOND);

    running.pass(SECOND, true).await;
    running.pass(8 * SECOND, false).await;
    assert_eq!(
        running.members.sent().last().map(|beat| beat.2),
        Some(DaemonState::Stuck)
    );
    assert!(
        running.hungry_for() >= 2 * SECOND,
        "its loops do not advance"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_process_that_is_replaced_says_so_with_its_last_beat() {
    let running = start(false);
    running.pass(SECOND, true).await;
    running.members.sent();
    drop(running.commands);
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let said = running.members.sent();
    assert_eq!(
        said.last().map(|beat| beat.2),
        Some(DaemonState::Restarting)
    );
}
