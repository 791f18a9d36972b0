use super::*;
use serde_json::json;

fn remembered(generation: u64, term: u64) -> Remembered {
    Remembered {
        boot_id: "boot".into(),
        incarnation: 2,
        generation,
        term,
        ..Remembered::default()
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON")
}

fn head(generation: u64, term: u64, records: u32, incarnation: u64) -> Vec<u8> {
    bytes(&json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "NodePlan", "metadata": {"name": "an1"},
        "spec": {"node": "an1", "incarnation": incarnation, "term": term, "planGeneration": generation,
                 "lowestValidGeneration": generation, "records": records},
    }))
}

fn record(guest: &str, generation: u64, incarnation: u64) -> Vec<u8> {
    bytes(&json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "NodePlan", "metadata": {"name": format!("an1.virtualmachine.{guest}")},
        "spec": {"node": "an1", "incarnation": incarnation, "term": 1, "planGeneration": generation,
                 "assignment": {"object": {"kind": "VirtualMachine", "name": guest}, "epoch": 1, "active": true,
                                "guest": {"desiredState": "Running", "step": "Keep"}}},
    }))
}

fn whole(records: Vec<Vec<u8>>) -> PlanUpdate {
    PlanUpdate {
        whole: true,
        records: records.into_iter().map(Into::into).collect(),
        ..PlanUpdate::default()
    }
}

fn change(records: Vec<Vec<u8>>) -> PlanUpdate {
    PlanUpdate {
        records: records.into_iter().map(Into::into).collect(),
        ..PlanUpdate::default()
    }
}

#[test]
fn a_plan_is_acted_on_only_when_every_record_of_it_is_here() {
    let mut plan = Plan::new("an1", &remembered(0, 0));
    assert!(!plan.complete(), "nothing has come");
    plan.receive(&whole(vec![record("web", 4, 2), head(5, 1, 2, 2)]))
        .expect("newer");
    assert!(!plan.complete(), "one of two records");
    let accepted = plan
        .receive(&change(vec![record("db", 5, 2)]))
        .expect("newer");
    assert!(plan.complete());
    assert_eq!(
        accepted.changed,
        BTreeSet::from(["an1.virtualmachine.db".to_owned()])
    );
    assert!(plan.valid_from(5));
    assert!(
        !plan.valid_from(6),
        "the lease knows of a withdrawal that this host has not seen"
    );
}

#[test]
fn whatever_is_older_than_what_was_seen_is_refused_and_changes_nothing() {
    let cases = [
        ("an older generation", (7, 1), (6, 1), true),
        ("an older term", (7, 3), (8, 2), true),
        ("the same again", (7, 3), (7, 3), false),
        ("a newer term", (7, 3), (7, 4), false),
        ("a newer generation", (7, 3), (8, 3), false),
    ];
    for (what, (generation, term), (found, found_term), refused) in cases {
        let mut plan = Plan::new("an1", &remembered(generation, term));
        let result = plan.receive(&whole(vec![head(found, found_term, 0, 2)]));
        assert_eq!(result.is_err(), refused, "{what}: {result:?}");
        assert_eq!(plan.complete(), !refused, "{what}");
        if let Ok(accepted) = result {
            assert_eq!(
                accepted.newer,
                found > generation || found_term > term,
                "{what}: to be remembered"
            );
        }
    }
}

#[test]
fn a_record_never_goes_back() {
    let mut plan = Plan::new("an1", &remembered(0, 0));
    plan.receive(&whole(vec![record("web", 4, 2), head(5, 1, 1, 2)]))
        .expect("newer");
    let error = plan
        .receive(&change(vec![record("web", 3, 2)]))
        .expect_err("older");
    assert!(
        matches!(
            error,
            PlanError::RecordWentBack {
                found: 3,
                seen: 4,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(plan.records()["an1.virtualmachine.web"].generation, 4);
}

#[test]
fn records_of_another_incarnation_count_but_are_not_acted_on() {
    let mut plan = Plan::new("an1", &remembered(0, 0));
    plan.receive(&whole(vec![
        record("web", 4, 1),
        record("db", 5, 2),
        head(5, 1, 2, 2),
    ]))
    .expect("newer");
    assert!(plan.complete());
    assert_eq!(
        plan.records().keys().collect::<Vec<_>>(),
        ["an1.virtualmachine.db"]
    );

    plan.receive(&change(vec![head(6, 1, 2, 1)]))
        .expect("newer");
    assert!(!plan.complete(), "the whole plan is another incarnation's");
}

#[test]
fn a_record_that_is_gone_is_said_to_be_removed_also_by_a_whole_plan() {
    let mut plan = Plan::new("an1", &remembered(0, 0));
    plan.receive(&whole(vec![
        record("web", 4, 2),
        record("db", 5, 2),
        head(5, 1, 2, 2),
    ]))
    .expect("newer");
    let mut update = change(vec![head(6, 1, 1, 2)]);
    update.removed = vec!["an1.virtualmachine.web".to_owned()];
    let accepted = plan.receive(&update).expect("newer");
    assert_eq!(
        accepted.removed,
        BTreeSet::from(["an1.virtualmachine.web".to_owned()])
    );
    let accepted = plan.receive(&whole(vec![head(7, 1, 0, 2)])).expect("newer");
    assert_eq!(
        accepted.removed,
        BTreeSet::from(["an1.virtualmachine.db".to_owned()])
    );
    assert!(plan.complete());
}

#[test]
fn what_the_host_said_itself_is_no_change() {
    let mut plan = Plan::new("an1", &remembered(0, 0));
    plan.receive(&whole(vec![record("web", 4, 2), head(5, 1, 1, 2)]))
        .expect("newer");
    let mut said: Value = serde_json::from_slice(&record("web", 4, 2)).expect("JSON");
    said["status"] = json!({"observedPlanGeneration": 4});
    let accepted = plan
        .receive(&change(vec![bytes(&said)]))
        .expect("the same generation");
    assert_eq!(accepted, Accepted::default());
    assert!(plan.records()["an1.virtualmachine.web"].said.is_some());
}

#[test]
fn an_update_that_cannot_be_read_leaves_the_plan_as_it_was() {
    let mut plan = Plan::new("an1", &remembered(0, 0));
    plan.receive(&whole(vec![record("web", 4, 2), head(5, 1, 1, 2)]))
        .expect("newer");
    let error = plan
        .receive(&whole(vec![b"{".to_vec()]))
        .expect_err("not JSON");
    assert!(matches!(error, PlanError::Unreadable { .. }), "{error}");
    assert!(plan.complete());
}

#[test]
fn what_has_become_of_an_object_is_no_news_and_what_is_wanted_of_it_is() {
    let guest = |memory: &str, generation: u64, state: &str| {
        bytes(&json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "VirtualMachine",
            "metadata": {"name": "web", "uid": "u1", "generation": generation},
            "spec": {"memory": memory}, "status": {"state": state},
        }))
    };
    let sent = |whole: bool, object: Vec<u8>| PlanUpdate {
        whole,
        records: vec![record("web", 4, 2).into(), head(5, 1, 1, 2).into()],
        objects: vec![object.into()],
        ..PlanUpdate::default()
    };
    let web = BTreeSet::from(["an1.virtualmachine.web".to_owned()]);
    let mut plan = Plan::new("an1", &remembered(0, 0));
    let mut changed = |update: &PlanUpdate| plan.receive(update).expect("newer").changed;
    assert_eq!(changed(&sent(true, guest("1Gi", 1, "Starting"))), web);
    assert_eq!(
        changed(&sent(false, guest("1Gi", 1, "Running"))),
        BTreeSet::new(),
        "or a host would begin anew with every word that it says"
    );
    assert_eq!(
        changed(&sent(true, guest("1Gi", 1, "Running"))),
        BTreeSet::new(),
        "also when all of it comes once more"
    );
    assert_eq!(changed(&sent(false, guest("2Gi", 2, "Running"))), web);
    assert_eq!(changed(&sent(true, guest("4Gi", 3, "Running"))), web);
}
