//! Both sides in memory, and everything that may happen to them.

use proptest::{prelude::*, sample::select};
use quorate_crds::{API_VERSION, KindInfo};
use quorate_merge::{ApplyOptions, UpdateOptions, apply, update};
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-02T03:04:05Z";
/// More steps than any change needs.
const ENOUGH: usize = 12;

fn guest() -> &'static KindInfo {
    quorate_crds::find("vm").expect("a kind")
}

/// One object in Kubernetes and the one that it stands for, with what was written to each side.
struct World {
    here: Option<Value>,
    there: Option<Value>,
    answers: bool,
    refuses: bool,
    answer: Answer,
    uids: u32,
    writes_here: usize,
    writes_there: usize,
}

impl World {
    fn with(spec: Value) -> Self {
        let mut here = json!({
            "apiVersion": API_VERSION,
            "kind": "VirtualMachine",
            "metadata": {"name": "web", "generation": 1},
            "spec": spec,
        });
        guest().schema.apply_defaults(&mut here);
        Self {
            here: Some(here),
            there: None,
            answers: true,
            refuses: false,
            answer: Answer::None,
            uids: 0,
            writes_here: 0,
            writes_there: 0,
        }
    }

    fn decide(&self) -> Option<Decision> {
        let object = self.here.as_ref()?;
        let target = Target::wanted(object, Some("east")).expect("a default cluster");
        let there = if self.answers {
            There::Known(self.there.as_ref())
        } else {
            There::Silent("nobody is there")
        };
        Some(decide(&Situation {
            info: guest(),
            object,
            wanted: Ok(&target),
            duplicate_of: None,
            there,
            answer: &self.answer,
            now: NOW,
        }))
    }

    /// Does what is decided until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..ENOUGH {
            match self.decide() {
                Some(Decision {
                    step: Some(step), ..
                }) => self.take(step),
                Some(Decision {
                    status: Some(status),
                    ..
                }) => {
                    self.writes_here += 1;
                    self.here.as_mut().expect("decided about")["status"] = status;
                }
                _ => return,
            }
        }
        panic!("no end to it: {:?}", self.decide());
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Apply(config) => self.applied(&config),
            Step::Delete { uid } => {
                assert_eq!(self.there.as_ref().expect("there")["metadata"]["uid"], uid);
                self.writes_there += 1;
                self.there = None;
            }
            Step::Hold => {
                self.writes_here += 1;
                self.here()["metadata"]["finalizers"] = json!([FINALIZER]);
            }
            Step::Note(last) => {
                self.writes_here += 1;
                self.here()["metadata"]["annotations"][MIRRORED_ANNOTATION] =
                    last.to_string().into();
            }
            Step::Release => {
                self.writes_here += 1;
                self.here = None;
            }
        }
    }

    fn here(&mut self) -> &mut Value {
        self.here.as_mut().expect("it is there")
    }

    fn applied(&mut self, config: &Value) {
        if self.refuses {
            self.answer = Answer::Refused {
                reason: "Invalid".to_owned(),
                message: "its pool does not exist".to_owned(),
            };
            return;
        }
        let options = ApplyOptions {
            manager: FIELD_MANAGER,
            force: false,
            subresource: None,
            api_version: API_VERSION,
            now: NOW,
        };
        let change = apply(&guest().schema, self.there.as_ref(), config, &options)
            .expect("what is applied is known not to be in conflict");
        assert!(change.changed, "an apply that changes nothing was sent");
        self.writes_there += 1;
        self.store(change.object);
    }

    /// As the cluster stores it.
    fn store(&mut self, mut object: Value) {
        guest().schema.apply_defaults(&mut object);
        if self.there.is_none() {
            self.uids += 1;
            object["metadata"]["uid"] = format!("uid-{}", self.uids).into();
            object["metadata"]["generation"] = 1.into();
        }
        self.there = Some(object);
        self.answer = Answer::None;
    }

    /// Somebody changes the object in the cluster.
    fn alice(&mut self, field: &str, value: &Value) {
        let Some(mut new) = self.there.clone() else {
            return;
        };
        new["spec"][field] = value.clone();
        let options = UpdateOptions {
            manager: "alice",
            subresource: None,
            api_version: API_VERSION,
            now: NOW,
        };
        let change = update(&guest().schema, self.there.as_ref(), new, &options).expect("valid");
        self.store(change.object);
    }

    /// Somebody changes the object in Kubernetes.
    fn bob(&mut self, field: &str, value: &Value) {
        if let Some(here) = &mut self.here {
            here["spec"][field] = value.clone();
            here["metadata"]["generation"] =
                (here["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
            self.answer = Answer::None;
        }
    }

    fn delete_here(&mut self) {
        if let Some(here) = &mut self.here {
            if here["metadata"]["finalizers"] == json!([FINALIZER]) {
                here["metadata"]["deletionTimestamp"] = NOW.into();
            } else {
                self.here = None;
            }
        }
    }

    fn synced(&self) -> (String, String) {
        let conditions = &self.here.as_ref().expect("it is there")["status"]["conditions"];
        let own = conditions
            .as_array()
            .expect("conditions")
            .iter()
            .find(|condition| condition["type"] == SYNCED)
            .expect("the condition");
        let text = |field: &str| own[field].as_str().expect("text").to_owned();
        (text("reason"), text("message"))
    }

    fn count_from_now(&mut self) {
        (self.writes_here, self.writes_there) = (0, 0);
    }
}

#[test]
fn an_object_is_held_applied_noted_and_shown_with_one_write_each() {
    let mut world = World::with(json!({"memory": "1Gi"}));
    world.settle();

    assert_eq!(world.synced().0, "Synced");
    assert_eq!(world.writes_there, 1);
    assert_eq!(world.writes_here, 3, "hold, note, status");
    assert_eq!(
        world.there.as_ref().expect("there")["spec"]["memory"],
        "1Gi"
    );

    world.count_from_now();
    world.settle();
    assert_eq!((world.writes_here, world.writes_there), (0, 0));
}

#[test]
fn who_changes_a_field_in_the_cluster_keeps_it_and_the_conflict_names_field_and_owner() {
    let mut world = World::with(json!({"memory": "1Gi"}));
    world.settle();
    world.count_from_now();

    world.alice("memory", &json!("2Gi"));
    world.settle();

    let (reason, message) = world.synced();
    assert_eq!(reason, "Conflict");
    assert!(message.contains(".spec.memory (by \"alice\")"), "{message}");
    assert_eq!(
        world.there.as_ref().expect("there")["spec"]["memory"],
        "2Gi"
    );
    assert_eq!((world.writes_here, world.writes_there), (1, 0));

    world.bob("memory", &json!("2Gi"));
    world.settle();
    assert_eq!(world.synced().0, "Synced", "both want the same now");
}

#[test]
fn a_field_that_kubernetes_says_nothing_about_is_the_clusters() {
    let mut world = World::with(json!({"memory": "1Gi"}));
    world.settle();
    world.alice("agent", &json!("Never"));
    world.settle();

    let (reason, message) = world.synced();
    assert_eq!(reason, "Synced");
    assert!(message.contains(".spec.agent (by \"alice\")"), "{message}");
}

#[test]
fn what_was_deleted_in_the_cluster_is_not_made_again_by_itself() {
    let mut world = World::with(json!({"memory": "1Gi"}));
    world.settle();
    world.count_from_now();

    world.there = None;
    world.settle();
    assert_eq!(world.synced().0, "DeletedInCluster");
    assert_eq!(world.writes_there, 0);

    let annotations = world.here()["metadata"]["annotations"].as_object_mut();
    annotations
        .expect("annotations")
        .remove(MIRRORED_ANNOTATION);
    world.settle();
    assert_eq!(world.synced().0, "Synced");
    assert_eq!(world.writes_there, 1);
}

#[test]
fn an_object_that_was_made_anew_in_the_cluster_is_somebody_elses() {
    let mut world = World::with(json!({"memory": "1Gi"}));
    world.settle();
    world.there.as_mut().expect("there")["metadata"]["uid"] = "another".into();
    world.settle();
    assert_eq!(world.synced().0, "ReplacedInCluster");

    world.delete_here();
    world.settle();
    assert_eq!(world.here, None);
    assert!(world.there.is_some(), "it is not ours to delete");
}

#[test]
fn deleting_here_deletes_there_unless_asked_otherwise() {
    let mut world = World::with(json!({"memory": "1Gi"}));
    world.settle();
    world.delete_here();
    world.settle();
    assert_eq!((&world.here, &world.there), (&None, &None));

    let mut world = World::with(json!({"memory": "1Gi"}));
    world.settle();
    world.here()["metadata"]["annotations"][DELETION_ANNOTATION] = ORPHAN.into();
    world.delete_here();
    world.settle();
    assert!(world.here.is_none() && world.there.is_some());
}

#[test]
fn an_object_that_was_always_in_conflict_is_not_deleted_there() {
    let mut world = World::with(json!({"memory": "1Gi"}));
    world.store(json!({
        "apiVersion": API_VERSION, "kind": "VirtualMachine", "metadata": {"name": "web"}, "spec": {},
    }));
    world.alice("memory", &json!("4Gi"));
    world.settle();
    assert_eq!(world.synced().0, "Conflict");

    world.delete_here();
    world.settle();
    assert!(world.here.is_none() && world.there.is_some());
}

#[test]
fn a_deletion_waits_for_a_cluster_that_does_not_answer() {
    let mut world = World::with(json!({"memory": "1Gi"}));
    world.settle();
    world.answers = false;
    world.delete_here();
    world.settle();
    let (reason, message) = world.synced();
    assert_eq!(reason, "ClusterUnreachable");
    assert!(message.contains(DELETION_ANNOTATION), "{message}");

    world.answers = true;
    world.settle();
    assert_eq!((&world.here, &world.there), (&None, &None));
}

#[test]
fn what_the_cluster_refuses_is_shown_in_its_words_and_not_sent_again() {
    let mut world = World::with(json!({"memory": "1Gi"}));
    world.refuses = true;
    world.settle();
    let said = ("Invalid".to_owned(), "its pool does not exist".to_owned());
    assert_eq!(world.synced(), said);
    world.count_from_now();
    world.settle();
    assert_eq!((world.writes_here, world.writes_there), (0, 0));

    world.refuses = false;
    world.answer = Answer::None;
    world.settle();
    assert_eq!(world.synced().0, "Synced");
}

#[test]
fn an_object_does_not_follow_its_label_to_another_cluster() {
    let mut world = World::with(json!({"memory": "1Gi"}));
    world.settle();
    world.here()["metadata"]["labels"][CLUSTER_LABEL] = "west".into();
    world.settle();
    assert_eq!(world.synced().0, "Moved");
    assert!(world.there.is_some());
}

#[derive(Debug, Clone)]
enum Happening {
    Alice(&'static str, Value),
    Bob(&'static str, Value),
    DeletedHere,
    DeletedThere,
    Silence(bool),
    Refusal(bool),
    Reported(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    let field = || {
        prop_oneof![
            select(vec![json!("1Gi"), json!("2Gi"), json!("4Gi")]).prop_map(|it| ("memory", it)),
            select(vec![json!(1), json!(2), json!(4)]).prop_map(|it| ("cpus", it)),
            select(vec![json!("WhenPresent"), json!("Never")]).prop_map(|it| ("agent", it)),
        ]
    };
    prop_oneof![
        4 => field().prop_map(|(field, value)| Happening::Alice(field, value)),
        4 => field().prop_map(|(field, value)| Happening::Bob(field, value)),
        1 => Just(Happening::DeletedHere),
        1 => Just(Happening::DeletedThere),
        2 => any::<bool>().prop_map(Happening::Silence),
        2 => any::<bool>().prop_map(Happening::Refusal),
        2 => any::<u8>().prop_map(Happening::Reported),
    ]
}

proptest! {
    /// Whatever happens, both sides come to rest, nothing is written at rest, and what somebody set in the cluster stays.
    #[test]
    fn both_sides_come_to_rest(story in prop::collection::vec(happening(), 1..25)) {
        let mut world = World::with(json!({"memory": "1Gi"}));
        let mut said_by_alice = serde_json::Map::new();
        for what in story {
            match what {
                Happening::Alice(field, value) => {
                    if world.there.is_some() {
                        let before = world.there.as_ref().map(|there| there["spec"][field].clone());
                        world.alice(field, &value);
                        // Who writes what is there already does not come to own it.
                        if before.as_ref() != Some(&value) {
                            said_by_alice.insert(field.to_owned(), value);
                        }
                    }
                }
                Happening::Bob(field, value) => world.bob(field, &value),
                Happening::DeletedHere => world.delete_here(),
                Happening::DeletedThere => {
                    world.there = None;
                    world.answer = Answer::None;
                }
                Happening::Silence(silent) => world.answers = !silent,
                Happening::Refusal(refuses) => {
                    world.refuses = refuses;
                    world.answer = Answer::None;
                }
                Happening::Reported(number) => {
                    if let Some(there) = &mut world.there {
                        there["status"]["restartCount"] = number.into();
                    }
                }
            }
            world.settle();
            world.count_from_now();
            world.settle();
            prop_assert_eq!((world.writes_here, world.writes_there), (0, 0));
            match &world.there {
                None => said_by_alice.clear(),
                Some(there) => for (field, value) in &said_by_alice {
                    prop_assert_eq!(&there["spec"][field], value, "{}", field);
                },
            }
        }
    }
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z/.]{0,9}".prop_map(Value::from),
    ];
    // The words that are looked for, so that they are met in places where they do not belong.
    let word = select(vec![
        "metadata",
        "spec",
        "status",
        "conditions",
        "managedFields",
        "annotations",
        "labels",
        "finalizers",
        "name",
        "uid",
        "generation",
        "observedGeneration",
        "type",
        "manager",
        "operation",
        "fieldsV1",
        "deletionTimestamp",
        "f:spec",
        MIRRORED_ANNOTATION,
        "memory",
        "disks",
    ]);
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..6).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    /// Whatever a side sends, there is a decision.
    #[test]
    fn no_object_however_odd_ends_the_operator(object in anything(), live in prop::option::of(anything())) {
        let wanted = Target::wanted(&object, Some("east"));
        let situation = Situation {
            info: guest(),
            object: &object,
            wanted: wanted.as_ref().ok_or("it has no name"),
            duplicate_of: None,
            there: There::Known(live.as_ref()),
            answer: &Answer::None,
            now: NOW,
        };
        decide(&situation);
        place(&object, wanted.as_ref());
        secret("screen", Some(&object), live.as_ref());
    }
}
