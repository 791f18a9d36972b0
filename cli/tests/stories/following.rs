//! get -w, wait, events: what happens is seen when it happens.

use crate::support::{Machine, secret};

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_every_change() {
    let machine = Machine::with_cluster().await;
    machine
        .run_with_input(&secret("first", "k", "v"), &["apply", "-f", "-"])
        .await
        .done();
    let mut watch = machine.start(&[
        "get",
        "secrets",
        "-w",
        "-o",
        "custom-columns=NAME:.metadata.name,TIER:.metadata.labels.tier",
    ]);
    assert_eq!(watch.line().await, "NAME    TIER");
    assert_eq!(watch.line().await, "first   <none>");

    machine
        .run(&["label", "secret", "first", "tier=front"])
        .await
        .done();
    assert_eq!(watch.line().await, "first   front");
    machine
        .run_with_input(&secret("later", "k", "v"), &["apply", "-f", "-"])
        .await
        .done();
    assert_eq!(watch.line().await, "later   <none>");
    machine.run(&["delete", "secret", "first"]).await.done();
    assert_eq!(watch.line().await, "first   front");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_after_its_member_was_restarted() {
    let mut machine = Machine::with_cluster().await;
    machine
        .run_with_input(&secret("first", "k", "v"), &["apply", "-f", "-"])
        .await
        .done();
    let mut watch = machine.start(&["get", "secrets", "-w", "-o", "name"]);
    assert_eq!(watch.line().await, "secret/first");

    machine.stop_member().await;
    machine.start_member().await;
    machine.has_leader().await;
    machine
        .run_with_input(&secret("second", "k", "v"), &["apply", "-f", "-"])
        .await
        .done();
    assert_eq!(watch.line().await, "secret/second");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_when_the_state_is_reached_or_the_time_is_up() {
    let machine = Machine::with_cluster().await;
    // Of a network that no host has, nobody says anything.
    let spare = "apiVersion: quorate.dev/v1alpha1\nkind: Network\nmetadata:\n  name: spare\nspec:\n  role: Other\n  subnet: 10.9.0.0/24\n";
    let file = machine.file("spare.yaml", spare);
    machine.run(&["apply", "-f", &file]).await.done();
    let early = machine
        .run(&[
            "wait",
            "network/spare",
            "--for=condition=Ready",
            "--timeout=0",
        ])
        .await
        .failed(7);
    assert!(
        early.contains("condition Ready=True") && early.contains("quorate describe"),
        "{early}"
    );

    let mut ready = machine.start(&[
        "wait",
        "network/spare",
        "--for=condition=Ready",
        "--timeout=300s",
    ]);
    let mut placed = machine.start(&[
        "wait",
        "network/spare",
        "--for=jsonpath={.status.observedGeneration}=1",
        "--timeout=300s",
    ]);
    let status = r#"{"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True","reason":"Up",
        "message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#;
    machine
        .run(&[
            "patch",
            "network",
            "spare",
            "--subresource",
            "status",
            "-p",
            status,
        ])
        .await
        .done();
    assert_eq!(ready.line().await, "network/spare condition met");
    assert_eq!(placed.line().await, "network/spare condition met");

    let mut gone = machine.start(&["wait", "network/spare", "--for=delete", "--timeout=300s"]);
    machine.run(&["delete", "network", "spare"]).await.done();
    assert_eq!(gone.line().await, "network/spare deleted");
    assert_eq!(gone.code().await, 0);
    let absent = machine
        .run(&["wait", "network/spare", "--for=condition=Ready"])
        .await
        .failed(4);
    assert!(absent.contains("--for=create"), "{absent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_what_has_happened() {
    let machine = Machine::with_cluster().await;
    let event = "apiVersion: quorate.dev/v1alpha1\nkind: Event\nmetadata: {name: web.1}\nspec:\n  regarding: {kind: VirtualMachine, name: web}\n  reason: Started\n  note: started on an01\n  type: Normal\n  count: 1\n  firstTimestamp: 2026-01-01T00:00:00Z\n  lastTimestamp: 2026-01-01T00:00:00Z\n  reportingController: test\n";
    machine
        .run_with_input(event, &["apply", "-f", "-"])
        .await
        .done();
    let about = machine.run(&["events", "--for", "vm/web"]).await.done();
    assert!(
        about.contains("virtualmachine/web   Started   started on an01"),
        "{about}"
    );
    assert_eq!(
        machine.run(&["events", "--for", "vm/db"]).await.err,
        "no events; they are kept for an hour\n"
    );
    let warnings = machine
        .run(&["events", "--types", "Warning", "--for", "vm/web"])
        .await
        .done();
    assert_eq!(warnings, "");
}
