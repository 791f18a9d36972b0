use super::*;
use proptest::prelude::*;
use quorate_crds::Name;
use quorate_libvirt::Param;

/// What `virsh dumpxml` has said of a guest that runs.
const RUNNING: &str = include_str!("../../../../tests/recorded/libvirt/virsh-dumpxml-running.xml");

fn marked(begun: Option<u64>, arriving: Option<&str>) -> Element {
    let mut domain = Element::read(RUNNING).expect("well-formed");
    let ours = Ownership {
        name: Name("linux".into()),
        epoch: 7,
        generation: 3,
        begun,
        arriving: arriving.map(|node| Name(node.to_owned())),
        spec: None,
    };
    domain = domain.child(Element::new("metadata").child(ours.prefixed()));
    domain
}

fn found(state: i32, reason: i32, defined: Element, operation: Option<i32>) -> Found {
    Found {
        name: "linux".to_owned(),
        state: State { state, reason },
        live: (state != State::OFF).then(|| defined.clone()),
        defined,
        job: operation.map(|operation| JobStats {
            kind: JobKind::Unbounded,
            params: vec![
                Param::new("operation", Value::Int(operation)),
                Param::new("memory_total", Value::UnsignedLong(134_750_208)),
                Param::new("memory_remaining", Value::UnsignedLong(33_687_552)),
            ],
        }),
    }
}

fn doing(state: i32, reason: i32) -> GuestDoing {
    found(state, reason, marked(Some(7), None), None)
        .seen()
        .doing
}

#[test]
fn a_guest_that_runs_says_what_it_has() {
    let seen = found(1, 1, marked(Some(7), None), None).seen();
    assert_eq!(seen.owner, Owner::Ours(Name("linux".into())));
    assert_eq!(seen.doing, GuestDoing::Running);
    assert_eq!((seen.epoch, seen.generation), (Some(7), Some(3)));
    let resources = seen.resources.expect("known");
    assert_eq!(resources.memory, Some(Size("131072Ki".into())));
    assert_eq!(resources.cpus, Some(1));
    assert_eq!(seen.migration, None);
}

#[test]
fn a_domain_without_our_words_is_foreign() {
    let domain = Element::read(RUNNING).expect("well-formed");
    let seen = found(1, 1, domain, None).seen();
    assert_eq!(seen.owner, Owner::Foreign);
    assert_eq!(seen.doing, GuestDoing::Running);
}

#[test]
fn every_end_is_told_from_every_other() {
    let ends = [
        (State::OFF_SHUTDOWN, HowEnded::PoweredOff),
        (State::OFF_DESTROYED, HowEnded::Destroyed),
        (State::OFF_CRASHED, HowEnded::Crashed),
        (State::OFF_MIGRATED, HowEnded::Migrated),
        (State::OFF_FAILED, HowEnded::Failed),
        (0, HowEnded::Unknown),
    ];
    for (reason, end) in ends {
        assert_eq!(doing(State::OFF, reason), GuestDoing::Off(end));
    }
    let ended = |begun, arriving| {
        found(State::OFF, 0, marked(begun, arriving), None)
            .seen()
            .doing
    };
    assert_eq!(ended(None, None), GuestDoing::Off(HowEnded::NeverStarted));
    assert_eq!(
        ended(Some(6), None),
        GuestDoing::Off(HowEnded::NeverStarted)
    );
    assert_eq!(
        ended(Some(7), Some("node1")),
        GuestDoing::Off(HowEnded::Failed)
    );
}

#[test]
fn a_guest_that_stands_still_says_why() {
    let pauses = [
        (State::PAUSED_USER, WhyPaused::Asked),
        (State::PAUSED_IO_ERROR, WhyPaused::DiskError),
        (State::PAUSED_MIGRATION, WhyPaused::Sent),
        (State::PAUSED_CRASHED, WhyPaused::Unknown),
        (0, WhyPaused::Unknown),
    ];
    for (reason, why) in pauses {
        assert_eq!(doing(State::PAUSED, reason), GuestDoing::Paused(why));
    }
    assert_eq!(
        doing(State::PAUSED, State::PAUSED_SHUTTING_DOWN),
        GuestDoing::Stopping
    );
    assert_eq!(doing(State::SHUTDOWN, 0), GuestDoing::Stopping);
    assert_eq!(
        doing(State::CRASHED, 0),
        GuestDoing::Paused(WhyPaused::Unknown)
    );
}

#[test]
fn both_sides_of_a_migration_know_which_they_are() {
    let coming = marked(Some(7), Some("node1"));
    let incoming = GuestDoing::Paused(WhyPaused::Incoming);
    let at = |reason, operation| found(State::PAUSED, reason, coming.clone(), operation).seen();
    assert_eq!(at(State::PAUSED_MIGRATION, Some(4)).doing, incoming);
    assert_eq!(at(State::PAUSED_MIGRATION, None).doing, incoming);
    assert_eq!(at(State::PAUSED_USER, Some(4)).doing, incoming);
    assert_eq!(
        at(State::PAUSED_USER, None).doing,
        GuestDoing::Paused(WhyPaused::Received)
    );
    assert_eq!(at(State::PAUSED_USER, None).migration, None);

    let source = marked(Some(7), None);
    let going = found(State::RUNNING, 1, source.clone(), Some(5)).seen();
    assert_eq!(going.doing, GuestDoing::Running);
    let progress = going.migration.expect("on its way");
    assert_eq!(progress.percent, Some(75));
    // The last step: it stands still here, and nobody may believe yet that it has gone.
    let last = found(State::PAUSED, State::PAUSED_MIGRATION, source, Some(5)).seen();
    assert!(last.migration.is_some());
    assert_ne!(last.doing, GuestDoing::Paused(WhyPaused::Sent));
}

proptest! {
    #[test]
    fn nothing_that_libvirt_might_say_is_taken_for_off(state in 0..20_i32, reason in 0..40_i32, operation in proptest::option::of(0..12_i32)) {
        let seen = found(state, reason, marked(Some(7), None), operation).seen();
        prop_assert_eq!(seen.doing.active(), state != State::OFF);
    }
}
