use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;

use super::{Command, HistoryLimits, Reply, Shared, Watch, WatchScope};
use crate::{
    Bucket, Condition, Key, Member, Outcome, Refusal, Revision, Transaction, WatchError, Write,
    raft::{Membership, StoredMembership},
    snapshot::{Blocks, Loader},
};

fn key(name: &str) -> Key {
    Key::new(Bucket::new("things"), name)
}

fn put(name: &str, value: &str) -> Write {
    Write::Put {
        key: key(name),
        value: Bytes::copy_from_slice(value.as_bytes()),
        expires_at_ms: None,
    }
}

fn transact(shared: &Shared, conditions: Vec<Condition>, writes: Vec<Write>) -> Outcome {
    let transaction = Transaction { conditions, writes };
    let command = Command::Transactions(vec![transaction]);
    match shared.change(|state| state.apply(7, 1000, command)) {
        Reply::Outcomes(mut outcomes) => outcomes.remove(0),
        other => panic!("not outcomes: {other:?}"),
    }
}

fn write(shared: &Shared, writes: Vec<Write>) -> Revision {
    match transact(shared, Vec::new(), writes) {
        Outcome::Committed { revision, .. } => revision,
        Outcome::Refused(refusals) => panic!("refused: {refusals:?}"),
    }
}

fn shared() -> Arc<Shared> {
    Shared::new(HistoryLimits::default())
}

#[test]
fn a_transaction_without_effect_takes_no_revision() {
    let shared = shared();
    assert_eq!(write(&shared, vec![put("a", "1")]), 1);
    assert_eq!(write(&shared, vec![Write::Delete { key: key("b") }]), 1);
    assert_eq!(write(&shared, Vec::new()), 1);
    assert_eq!(write(&shared, vec![Write::Delete { key: key("a") }]), 2);
    assert_eq!(shared.view().get(&key("a")), None);
}

#[test]
fn conditions_that_do_not_hold_are_all_named_with_what_was_found() {
    let shared = shared();
    write(&shared, vec![put("a", "1")]);
    let asked = vec![
        Condition::Present(key("a")),
        Condition::Absent(key("a")),
        Condition::AtRevision(key("a"), 9),
        Condition::Present(key("b")),
        Condition::BucketUnchangedSince(Bucket::new("things"), 0),
        Condition::BucketUnchangedSince(Bucket::new("things"), 1),
        Condition::Term(6),
        Condition::Term(7),
        Condition::FeatureLevel(1),
    ];
    let outcome = transact(&shared, asked, vec![put("a", "2")]);
    let refusal = |condition, found| Refusal { condition, found };
    let expected = vec![
        refusal(1, Some(1)),
        refusal(2, Some(1)),
        refusal(3, None),
        refusal(4, Some(1)),
        refusal(6, None),
        refusal(8, None),
    ];
    assert_eq!(outcome, Outcome::Refused(expected));
    assert_eq!(shared.view().revision(), 1, "nothing was written");
}

#[test]
fn time_never_runs_backwards_and_what_is_due_expires_in_one_revision() {
    let shared = shared();
    let expiring = |name: &str, at| Write::Put {
        key: key(name),
        value: Bytes::from_static(b"x"),
        expires_at_ms: Some(at),
    };
    let writes = vec![
        expiring("a", 2000),
        expiring("b", 2000),
        expiring("c", 9000),
    ];
    write(&shared, writes);
    // Written again without an expiry: it stays.
    write(&shared, vec![put("b", "kept")]);

    shared.change(|state| state.apply(7, 500, Command::Expire));
    assert_eq!(
        shared.look(|state| (state.time_ms, state.revision)),
        (1000, 2)
    );

    shared.change(|state| state.apply(7, 2000, Command::Expire));
    let view = shared.view();
    assert_eq!(
        (view.revision(), view.count(&Bucket::new("things"))),
        (3, 2)
    );
    assert_eq!(view.get(&key("a")), None);
    assert_eq!(shared.look(super::State::next_expiry), Some(9000));
}

#[test]
fn the_feature_level_rises_only_when_every_member_supports_it() {
    let shared = shared();
    let member = |feature_level| Member {
        feature_level,
        ..Member::default()
    };
    let members = BTreeMap::from([(1, member(3)), (2, member(2))]);
    let membership = Membership::new(vec![[1, 2].into()], members).expect("voters are members");
    shared.change(|state| state.set_membership(StoredMembership::new(None, membership)));

    let raise = |level| shared.change(|state| state.apply(1, 0, Command::RaiseFeatureLevel(level)));
    assert_eq!(raise(3), Reply::FeatureLevel(0));
    assert_eq!(raise(2), Reply::FeatureLevel(2));
    assert_eq!(raise(1), Reply::FeatureLevel(2));
}

#[test]
fn member_ids_are_granted_once() {
    let shared = shared();
    let genesis = Command::Genesis {
        cluster_id: "c".to_owned(),
        history_id: "h".to_owned(),
        feature_level: 1,
    };
    shared.change(|state| state.apply(1, 0, genesis));
    let allocate = || shared.change(|state| state.apply(1, 0, Command::AllocateMember));
    assert_eq!(
        (allocate(), allocate()),
        (Reply::Member(2), Reply::Member(3))
    );
}

#[tokio::test]
async fn a_watch_that_falls_behind_the_history_is_told_so_and_slows_nobody() {
    let limits = HistoryLimits {
        changes: 3,
        bytes: usize::MAX,
    };
    let shared = Shared::new(limits);
    let mut slow = Watch::new(shared.clone(), WatchScope::default(), 0).expect("nothing is gone");
    for n in 0..10 {
        write(&shared, vec![put("a", &n.to_string())]);
    }
    let error = slow.next().await.expect_err("the past is gone");
    assert!(
        matches!(
            error,
            WatchError::Expired {
                wanted: 0,
                oldest: 7
            }
        ),
        "{error}"
    );
    let mut fresh = Watch::new(shared.clone(), WatchScope::default(), 7).expect("still there");
    let told: Vec<Revision> = fresh
        .next_batch()
        .await
        .expect("changes")
        .iter()
        .map(|change| change.revision)
        .collect();
    assert_eq!(told, [8, 9, 10]);
    assert_eq!(fresh.revision(), 10);

    shared.close();
    assert!(matches!(fresh.next().await, Err(WatchError::Stopped)));
}

#[tokio::test]
async fn a_watch_tells_its_scope_only_and_its_bookmark_moves_all_the_same() {
    let shared = shared();
    let scope = WatchScope {
        bucket: Some(Bucket::new("things")),
        name: Some("b".into()),
    };
    let mut watch = Watch::new(shared.clone(), scope, 0).expect("nothing is gone");
    write(&shared, vec![put("a", "1")]);
    write(&shared, vec![put("a", "2"), put("b", "2")]);
    write(&shared, vec![put("a", "3")]);
    let change = watch.next().await.expect("one change");
    assert_eq!((&*change.key.name, change.revision), ("b", 2));
    assert_eq!(change.previous, None);
    assert_eq!(watch.revision(), 3);
}

#[test]
fn a_view_shows_its_revision_however_the_history_is_trimmed() {
    let limits = HistoryLimits {
        changes: 0,
        bytes: 0,
    };
    let shared = Shared::new(limits);
    write(&shared, vec![put("a", "old"), put("b", "old")]);
    let view = shared.view();
    write(
        &shared,
        vec![put("a", "new"), Write::Delete { key: key("b") }],
    );
    write(&shared, vec![put("c", "new")]);

    let names = |view: &crate::View| -> Vec<String> {
        view.list(&Bucket::new("things"), None, 10)
            .into_iter()
            .map(|(key, stored)| format!("{}={}", key.name, String::from_utf8_lossy(&stored.value)))
            .collect()
    };
    assert_eq!(names(&view), ["a=old", "b=old"]);
    assert_eq!(view.count(&Bucket::new("things")), 2);
    drop(view);

    write(&shared, vec![put("c", "newer")]);
    assert_eq!(names(&shared.view()), ["a=new", "c=newer"]);
    assert!(shared.view_at(1).is_err(), "nobody holds it any more");
}

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    PutIfAbsent(u8, u8),
    PutIfUnchanged(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6u8, any::<u8>()).prop_map(|(k, v)| Step::Put(k, v)),
        2 => (0..6u8).prop_map(Step::Delete),
        1 => (0..6u8, any::<u8>()).prop_map(|(k, v)| Step::PutIfAbsent(k, v)),
        1 => (0..6u8, any::<u8>()).prop_map(|(k, v)| Step::PutIfUnchanged(k, v)),
    ]
}

type Model = BTreeMap<String, (String, Revision)>;

fn take(shared: &Shared, model: &mut Model, revision: &mut Revision, step: &Step) {
    let (name, value, conditions) = match step {
        Step::Delete(k) => (format!("k{k}"), None, Vec::new()),
        Step::Put(k, v) => (format!("k{k}"), Some(v), Vec::new()),
        Step::PutIfAbsent(k, v) => {
            let name = format!("k{k}");
            let condition = Condition::Absent(key(&name));
            (name, Some(v), vec![condition])
        }
        Step::PutIfUnchanged(k, v) => {
            let name = format!("k{k}");
            let condition = Condition::AtRevision(key(&name), revision.saturating_sub(1));
            (name, Some(v), vec![condition])
        }
    };
    let holds = match step {
        Step::PutIfAbsent(..) => !model.contains_key(&name),
        Step::PutIfUnchanged(..) => {
            model.get(&name).map(|(_, r)| *r) == Some(revision.saturating_sub(1))
        }
        Step::Put(..) | Step::Delete(_) => true,
    };
    let write = match value {
        Some(v) => put(&name, &v.to_string()),
        None => Write::Delete { key: key(&name) },
    };
    let outcome = transact(shared, conditions, vec![write]);
    if !holds {
        assert!(matches!(outcome, Outcome::Refused(_)));
        return;
    }
    let effective = value.is_some() || model.contains_key(&name);
    *revision += u64::from(effective);
    match value {
        Some(v) => {
            model.insert(name, (v.to_string(), *revision));
        }
        None => {
            model.remove(&name);
        }
    }
    assert!(matches!(outcome, Outcome::Committed { revision: r, .. } if r == *revision));
}

fn content(view: &crate::View) -> Model {
    view.list(&Bucket::new("things"), None, usize::MAX)
        .into_iter()
        .map(|(key, stored)| {
            let value = String::from_utf8_lossy(&stored.value).into_owned();
            (key.name.to_string(), (value, stored.modified))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_retained_revision_shows_what_a_simple_model_says(
        steps in prop::collection::vec(step(), 1..80),
        changes in 1usize..40,
    ) {
        let limits = HistoryLimits { changes, bytes: usize::MAX };
        let shared = Shared::new(limits);
        let (mut model, mut revision) = (Model::new(), 0);
        let mut past = BTreeMap::from([(0, Model::new())]);
        for step in &steps {
            take(&shared, &mut model, &mut revision, step);
            past.insert(revision, model.clone());
        }
        let compacted = shared.look(|state| state.compacted);
        for (revision, expected) in &past {
            match shared.view_at(*revision) {
                Ok(view) => prop_assert_eq!(&content(&view), expected),
                Err(_) => prop_assert!(*revision < compacted),
            }
        }
        let view = shared.view();
        prop_assert_eq!(view.count(&Bucket::new("things")), model.len());
    }

    #[test]
    fn a_snapshot_gives_the_same_state_and_the_same_outcomes_afterwards(
        before in prop::collection::vec(step(), 1..60),
        after in prop::collection::vec(step(), 1..30),
        piece in 1usize..600,
    ) {
        let original = shared();
        let (mut model, mut revision) = (Model::new(), 0);
        for step in &before {
            take(&original, &mut model, &mut revision, step);
        }
        let mut loader = Loader::new();
        for block in Blocks::new(&original) {
            for piece in block.chunks(piece) {
                loader.push(piece).expect("it is whole");
            }
        }
        let (_, state) = loader.finish().expect("it is whole");
        let copy = shared();
        copy.replace(state);
        prop_assert_eq!(&content(&copy.view()), &model);
        for step in &after {
            let (mut again, mut same) = (model.clone(), revision);
            take(&copy, &mut again, &mut same, step);
            take(&original, &mut model, &mut revision, step);
            prop_assert_eq!((&again, same), (&model, revision));
        }
        let bucket = Bucket::new("things");
        prop_assert_eq!(copy.view().bucket_revision(&bucket), original.view().bucket_revision(&bucket));
    }
}
