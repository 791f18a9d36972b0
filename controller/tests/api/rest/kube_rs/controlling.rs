//! A controller with a finalizer, as kube-rs runs it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::{
        Controller,
        controller::Action,
        finalizer::{self, Event, finalizer},
        watcher,
    },
};
use quorate_crds::Secret;
use serde_json::json;
use tokio::sync::watch;

use super::{create, delete, label, secrets};
use crate::support::TestCluster;

const HELD: &str = "tests.quorate.dev/held";
const ANSWER: &str = "tests.quorate.dev/answer";

/// What the controller has done, by object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Done {
    reconciled: BTreeMap<String, usize>,
    cleaned: BTreeMap<String, usize>,
}

struct Context {
    secrets: Api<Secret>,
    done: watch::Sender<Done>,
}

/// Writes down in an annotation what a label says.
async fn reconcile(
    secret: Arc<Secret>,
    context: Arc<Context>,
) -> Result<Action, finalizer::Error<kube::Error>> {
    let (secrets, done) = (context.secrets.clone(), context.done.clone());
    finalizer(&context.secrets, HELD, secret, |event| async move {
        match event {
            Event::Apply(secret) => {
                let asked = secret.labels().get("n").cloned().unwrap_or_default();
                let patch = json!({
                    "apiVersion": "quorate.dev/v1alpha1", "kind": "Secret",
                    "metadata": {"name": secret.name_any(), "annotations": {ANSWER: asked}},
                });
                let manager = PatchParams::apply("controller");
                let name = secret.name_any();
                secrets.patch(&name, &manager, &Patch::Apply(patch)).await?;
                done.send_modify(|done| *done.reconciled.entry(name).or_default() += 1);
            }
            Event::Cleanup(secret) => {
                let name = secret.name_any();
                done.send_modify(|done| *done.cleaned.entry(name).or_default() += 1);
            }
        }
        Ok(Action::await_change())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_works_once_for_each_change_and_settles() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let cluster = TestCluster::of_one().await;
    let secrets = secrets(&cluster, &cluster.sites[0].config.addresses[0]).await;
    let (done, mut doing) = watch::channel(Done::default());
    let context = Arc::new(Context {
        secrets: secrets.clone(),
        done,
    });
    let controller = Controller::new(secrets.clone(), watcher::Config::default())
        .run(reconcile, |_, error, _| panic!("{error:?}"), context)
        .for_each(|looked| async move {
            looked.expect("looked at");
        });
    let controller = tokio::spawn(controller);

    // One look at the change and one at what the controller has then written itself, in which it finds nothing to do.
    let mut expected = Done::default();
    for name in NAMES {
        create(&secrets, name).await.expect("created");
        expected.reconciled.insert(name.to_owned(), 2);
    }
    for round in 1..4 {
        let settled = doing.wait_for(|done| done.reconciled == expected.reconciled);
        settled.await.expect("it goes on");
        for name in NAMES {
            label(&secrets, name, round).await;
            expected
                .reconciled
                .entry(name.to_owned())
                .and_modify(|times| *times += 2);
        }
    }
    let settled = doing.wait_for(|done| done.reconciled == expected.reconciled);
    settled.await.expect("it goes on");

    for name in NAMES {
        let secret = secrets.get(name).await.expect("there");
        assert_eq!(secret.annotations()[ANSWER], "3");
        assert!(!delete(&secrets, name).await, "it is held");
        expected.cleaned.insert(name.to_owned(), 1);
    }
    let cleaned = doing.wait_for(|done| done.cleaned == expected.cleaned);
    cleaned.await.expect("it goes on");
    loop {
        let left = secrets.list(&ListParams::default()).await.expect("a list");
        if left.items.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*doing.borrow(), expected, "nothing was done twice");
    controller.abort();
}
