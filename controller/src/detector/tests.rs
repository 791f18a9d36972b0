use std::time::Duration;

use quorate_proto::heartbeat::DaemonState;

use super::*;

const SECRET: [u8; KEY_LENGTH] = [7; KEY_LENGTH];
const TERM: u64 = 3;

/// A leader's detector, three hosts that send a beat every 250 ms on two rings, and a clock.
struct Story {
    detector: Detector,
    now: Instant,
    steps: u32,
    sequence: u64,
    silent: Vec<&'static str>,
    silent_rings: Vec<(&'static str, u8)>,
    daemon: DaemonState,
    leases: BTreeMap<&'static str, u32>,
}

const HOSTS: [&str; 3] = ["an1", "an2", "an3"];

impl Story {
    fn begin() -> Self {
        let now = Instant::now();
        let mut story = Self {
            detector: Detector::new(1, SECRET, 2, now),
            now,
            steps: 0,
            sequence: 0,
            silent: Vec::new(),
            silent_rings: Vec::new(),
            daemon: DaemonState::Well,
            leases: BTreeMap::new(),
        };
        for host in HOSTS {
            story.log_says(host, NodeState::Online);
        }
        story.detector.lead(TERM, now);
        story
    }

    fn log_says(&mut self, host: &str, state: NodeState) {
        let known = Known {
            incarnation: 1,
            state,
        };
        self.detector.know(host, known, self.now);
    }

    fn beat(&mut self, host: &'static str, ring: u8, acknowledged: Acknowledged) {
        self.sequence += 1;
        let beat = Beat {
            ring,
            node: host,
            incarnation: 1,
            sequence: self.sequence,
            daemon: self.daemon,
        };
        let key = HeartbeatKey::new(&HeartbeatKey::derive(&SECRET, host, 1));
        let mut datagram = [0; MAX_LENGTH];
        let length = beat.encode(&key, &mut datagram).expect("a short name");
        let mut answer = [0; MAX_LENGTH];
        let answered =
            self.detector
                .receive(&datagram[..length], acknowledged, self.now, &mut answer);
        if let Some(length) = answered {
            let grant = Grant::decode(&answer[..length], &key).expect("an authentic grant");
            self.leases.insert(host, grant.lease_ms);
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(50);
            self.steps += 1;
            if self.steps.is_multiple_of(5) {
                for host in HOSTS {
                    for ring in 0..2 {
                        if !self.silent.contains(&host)
                            && !self.silent_rings.contains(&(host, ring))
                        {
                            self.beat(host, ring, Some((TERM, self.now)));
                        }
                    }
                }
            }
            self.detector.look(self.now);
        }
    }

    fn lost(&self) -> Vec<&str> {
        names(&self.detector.judgement().lost)
    }

    fn doubtful(&self) -> Vec<&str> {
        names(&self.detector.judgement().doubtful)
    }
}

fn names(incarnations: &std::collections::BTreeSet<Incarnation>) -> Vec<&str> {
    incarnations.iter().map(|one| one.node.as_str()).collect()
}

const SECOND: Duration = Duration::from_secs(1);

fn heard_by_another(node: &str, silent_ms: u64) -> Heard {
    Heard {
        node: node.to_owned(),
        incarnation: 1,
        silent_ms,
        known: true,
    }
}

#[test]
fn a_host_that_is_silent_on_all_rings_is_lost_after_the_time_out_and_not_before() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    assert_eq!(story.lost(), [""; 0]);
    story.silent = vec!["an2"];
    story.pass(Duration::from_millis(1_700));
    assert_eq!(story.lost(), [""; 0]);
    story.pass(Duration::from_millis(700));
    assert_eq!(story.lost(), ["an2"]);
}

#[test]
fn a_host_that_is_heard_again_before_its_loss_was_committed_gets_leases_again() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    story.silent = vec!["an2"];
    story.pass(4 * SECOND);
    assert_eq!(story.lost(), ["an2"]);
    // The leader was cut off: nothing of this reaches the log.
    story.silent.clear();
    story.leases.clear();
    story.pass(2 * SECOND);
    assert_eq!(story.lost(), [""; 0]);
    assert_ne!(story.leases["an2"], 0);
}

#[test]
fn one_silent_ring_is_reported_and_is_no_loss() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    story.silent_rings = vec![("an2", 1)];
    story.pass(20 * SECOND);
    assert_eq!(story.lost(), [""; 0]);
    let rings = &story.detector.judgement().silent_rings;
    assert_eq!(rings.get("an2"), Some(&vec![1]));
    story.silent_rings.clear();
    story.pass(5 * SECOND);
    let rings = &story.detector.judgement().silent_rings;
    assert!(
        !rings.is_empty(),
        "one that comes and goes is one complaint"
    );
    story.pass(6 * SECOND);
    assert!(story.detector.judgement().silent_rings.is_empty());
}

#[test]
fn a_new_leader_counts_a_full_detection_time_first() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    story.silent = vec!["an2"];
    story.detector.follow();
    story.pass(60 * SECOND);
    story.detector.lead(TERM, story.now);
    story.pass(Duration::from_millis(1_900));
    assert_eq!(story.lost(), [""; 0]);
    story.pass(Duration::from_millis(200));
    assert_eq!(story.lost(), ["an2"]);
}

#[test]
fn a_detector_that_was_asleep_starts_anew() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    // The process stood still for a minute and heard nobody.
    story.now += 60 * SECOND;
    story.silent = HOSTS.to_vec();
    story.detector.look(story.now);
    story.pass(Duration::from_millis(1_900));
    assert_eq!(story.lost(), [""; 0]);
    assert_eq!(story.doubtful(), [""; 0]);
    story.silent.clear();
    story.pass(10 * SECOND);
    assert_eq!(story.lost(), [""; 0]);
}

#[test]
fn when_most_hosts_fall_silent_together_the_other_voters_are_heard_first() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    story.silent = vec!["an1", "an2"];
    story.pass(3 * SECOND);
    assert_eq!(story.lost(), [""; 0]);
    assert_eq!(story.doubtful(), ["an1", "an2"]);

    // Another voter hears an1 well; nobody hears an2.
    let asked: Vec<_> = story
        .detector
        .judgement()
        .doubtful
        .iter()
        .cloned()
        .collect();
    let answers = [heard_by_another("an1", 100), heard_by_another("an2", 3_000)];
    story.detector.consider(&asked, &answers, story.now);
    story.detector.look(story.now);
    assert_eq!(story.lost(), ["an2"]);
    assert!(story.detector.judgement().heard_elsewhere.contains("an1"));

    // What the other said is good for one detection time, then it is asked again.
    story.pass(3 * SECOND);
    assert_eq!(story.doubtful(), ["an1"]);
    story.detector.consider(&asked, &[], story.now);
    story.detector.look(story.now);
    assert_eq!(story.lost(), ["an1", "an2"]);
}

#[test]
fn a_host_that_closed_its_connection_has_the_restart_grace_until_it_is_heard_again() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    story.silent = vec!["an2"];
    story.detector.closed("an2", story.now);
    story.pass(29 * SECOND);
    assert_eq!(story.lost(), [""; 0]);
    story.silent.clear();
    story.pass(2 * SECOND);
    // It is back, and a grace is no licence for the next silence.
    story.silent = vec!["an2"];
    story.pass(3 * SECOND);
    assert_eq!(story.lost(), ["an2"]);
}

#[test]
fn a_grace_ends() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    story.silent = vec!["an2"];
    story.detector.closed("an2", story.now);
    story.pass(31 * SECOND);
    assert_eq!(story.lost(), ["an2"]);
}

#[test]
fn a_lease_is_what_remains_since_a_majority_acknowledged_the_leader() {
    let mut story = Story::begin();
    story.pass(SECOND);
    assert_eq!(story.leases["an1"], 10_000);
    let acknowledged = story.now;
    story.now += Duration::from_millis(400);
    story.beat("an1", 0, Some((TERM, acknowledged)));
    assert_eq!(story.leases["an1"], 9_600);
    story.beat("an1", 0, Some((TERM - 1, acknowledged)));
    assert_eq!(story.leases["an1"], 0, "acknowledged in another term");
    story.now += 10 * SECOND;
    story.beat("an1", 0, Some((TERM, acknowledged)));
    assert_eq!(story.leases["an1"], 0, "acknowledged too long ago");
    story.beat("an1", 0, None);
    assert_eq!(story.leases["an1"], 0, "never acknowledged");
}

#[test]
fn from_suspicion_on_a_host_gets_no_lease_until_the_log_says_that_it_is_online() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    let last = story.detector.last_possible_grant("an2").expect("it leads");
    story.silent = vec!["an2"];
    story.pass(3 * SECOND);
    assert_eq!(story.lost(), ["an2"]);
    story.beat("an2", 0, Some((TERM, story.now)));
    assert_eq!(story.leases["an2"], 0);
    assert_eq!(story.detector.last_possible_grant("an2"), Some(last));

    story.log_says("an2", NodeState::Suspect);
    story.silent.clear();
    story.pass(SECOND / 2);
    assert!(
        story.detector.judgement().present.is_empty(),
        "too short a time to be trusted"
    );
    story.pass(2 * SECOND);
    assert_eq!(names(&story.detector.judgement().present), ["an2"]);
    assert_eq!(story.leases["an2"], 0);
    story.log_says("an2", NodeState::Online);
    story.pass(SECOND);
    assert_eq!(story.leases["an2"], 10_000);
}

#[test]
fn a_new_leader_takes_it_that_everybody_was_granted_a_lease_when_it_was_elected() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    story.silent = HOSTS.to_vec();
    story.detector.follow();
    assert_eq!(story.detector.last_possible_grant("an1"), None);
    story.now += 60 * SECOND;
    story.detector.lead(TERM + 1, story.now);
    assert_eq!(story.detector.last_possible_grant("an1"), Some(story.now));
}

#[test]
fn a_fenced_host_that_is_heard_later_contradicts_its_evidence() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    story.log_says("an2", NodeState::Fenced);
    // These may have been on their way when the power went.
    story.pass(SECOND);
    assert!(story.detector.judgement().contradicted.is_empty());
    story.pass(3 * SECOND);
    assert_eq!(names(&story.detector.judgement().contradicted), ["an2"]);
}

#[test]
fn copies_forgeries_and_former_incarnations_are_not_heard() {
    let mut story = Story::begin();
    story.pass(5 * SECOND);
    story.silent = vec!["an2"];
    let key = HeartbeatKey::new(&HeartbeatKey::derive(&SECRET, "an2", 1));
    let forged = HeartbeatKey::new(&HeartbeatKey::derive(b"other", "an2", 1));
    let mut answer = [0; MAX_LENGTH];
    for _ in 0..60 {
        story.pass(Duration::from_millis(50));
        let old = Beat {
            ring: 0,
            node: "an2",
            incarnation: 1,
            sequence: 1,
            daemon: DaemonState::Well,
        };
        let fresh = Beat {
            sequence: u64::MAX,
            ..old
        };
        let former = Beat {
            incarnation: 0,
            ..fresh
        };
        for (beat, key) in [(old, &key), (fresh, &forged), (former, &key)] {
            let mut datagram = [0; MAX_LENGTH];
            let length = beat.encode(key, &mut datagram).expect("a short name");
            let answered =
                story
                    .detector
                    .receive(&datagram[..length], None, story.now, &mut answer);
            assert_eq!(answered, None);
        }
    }
    assert_eq!(story.lost(), ["an2"]);
}

#[test]
fn a_member_that_has_just_started_does_not_testify() {
    let mut story = Story::begin();
    story.pass(SECOND);
    let asked = ["an1".to_owned()];
    assert!(!story.detector.heard(&asked, story.now)[0].known);
    story.pass(2 * SECOND);
    let answer = &story.detector.heard(&asked, story.now)[0];
    assert!(answer.known && answer.silent_ms < 300);
}

#[test]
fn a_daemon_that_does_not_work_is_reported_and_its_host_is_not_lost() {
    let mut story = Story::begin();
    story.daemon = DaemonState::Stuck;
    story.pass(40 * SECOND);
    assert_eq!(story.lost(), [""; 0]);
    assert!(story.detector.judgement().unwell.contains("an1"));
}

#[test]
fn a_member_that_has_just_started_waits_for_hosts_that_it_has_not_heard_yet() {
    let mut story = Story::begin();
    story.silent = vec!["an2"];
    story.pass(29 * SECOND);
    assert_eq!(story.lost(), [""; 0]);
    story.pass(2 * SECOND);
    assert_eq!(story.lost(), ["an2"]);
}

#[test]
fn a_member_that_leads_at_once_knows_at_once_whom_it_has_not_heard_yet() {
    let mut story = Story::begin();
    let known = Known {
        incarnation: 1,
        state: NodeState::Suspect,
    };
    story.detector = Detector::new(1, [7; KEY_LENGTH], 2, story.now);
    story.detector.know("an2", known, story.now);
    story.detector.lead(TERM, story.now);
    assert!(story.detector.judgement().awaited.contains("an2"));
}

/// Every planted mistake makes the story fail that tells of what it breaks.
#[cfg(feature = "mistakes")]
#[test]
fn every_planted_mistake_is_noticed() {
    use mistake::{Mistake, plant};
    let stories: [(Mistake, fn()); 3] = [
        (
            Mistake::NoGrace,
            a_new_leader_counts_a_full_detection_time_first,
        ),
        (Mistake::StallCounts, a_detector_that_was_asleep_starts_anew),
        (
            Mistake::BelievesItself,
            when_most_hosts_fall_silent_together_the_other_voters_are_heard_first,
        ),
    ];
    assert_eq!(stories.map(|(mistake, _)| mistake), Mistake::ALL);
    for (mistake, story) in stories {
        plant(Some(mistake));
        let told = std::panic::catch_unwind(story);
        plant(None);
        assert!(told.is_err(), "{mistake:?} goes unnoticed");
    }
}
