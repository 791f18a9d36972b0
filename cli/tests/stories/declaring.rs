//! apply, diff, prune, delete.

use crate::support::{Machine, examples, role, secret};

#[tokio::test(flavor = "multi_thread")]
async fn every_example_applies_twice_and_then_differs_in_nothing() {
    for example in ["minimal", "anvil", "campus"] {
        let machine = Machine::with_cluster().await;
        let dir = examples(example);

        // What the manifests refer to is not there yet, but is declared along with them.
        let differs = machine.run(&["diff", "-f", &dir]).await;
        assert_eq!(differs.code, 1, "{example}: {}", differs.err);
        let tried = machine
            .run(&["apply", "-f", &dir, "--dry-run"])
            .await
            .done();
        assert!(
            tried
                .lines()
                .all(|line| line.ends_with(" created (dry run)")),
            "{example}: {tried}"
        );
        let first = machine.run(&["apply", "-f", &dir]).await.done();
        assert!(
            first.lines().all(|line| line.ends_with(" created")),
            "{example}: {first}"
        );
        let second = machine.run(&["apply", "-f", &dir]).await.done();
        assert!(
            second.lines().all(|line| line.ends_with(" unchanged")),
            "{example}: {second}"
        );
        assert_eq!(
            machine.run(&["diff", "-f", &dir]).await.done(),
            "",
            "{example}"
        );
        let gone = machine.run(&["delete", "-f", &dir]).await.done();
        assert!(
            gone.lines()
                .all(|line| line.ends_with(" deleted") || line.contains(" deleting: it waits for")),
            "{example}: {gone}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_manifest_shows_in_diff_and_then_is_applied() {
    let machine = Machine::with_cluster().await;
    let file = machine.file("role.yaml", &role("looker", "nodes", "get"));
    assert_eq!(
        machine
            .run(&["apply", "-f", &file, "--dry-run"])
            .await
            .done(),
        "role/looker created (dry run)\n"
    );
    assert_eq!(
        machine.run(&["apply", "-f", &file]).await.done(),
        "role/looker created\n"
    );

    machine.file("role.yaml", &role("looker", "volumes", "get"));
    let said = machine.run(&["diff", "-f", &file]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out.contains("-    - nodes\n+    - volumes\n"),
        "{}",
        said.out
    );
    assert_eq!(
        machine.run(&["apply", "-f", &file]).await.done(),
        "role/looker configured\n"
    );
    assert_eq!(machine.run(&["diff", "-f", &file]).await.done(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_managers_of_one_field_conflict_until_one_takes_it_over() {
    let machine = Machine::with_cluster().await;
    let mine = machine.file("mine.yaml", &role("shared", "nodes", "get"));
    let hers = machine.file("hers.yaml", &role("shared", "volumes", "get"));
    machine
        .run(&["apply", "-f", &hers, "--field-manager", "alice"])
        .await
        .done();

    let conflict = machine.run(&["apply", "-f", &mine]).await.failed(5);
    assert!(
        conflict.contains("alice") && conflict.contains("spec.rules"),
        "{conflict}"
    );
    assert!(
        conflict.contains("--force-conflicts") && conflict.contains("three ways out"),
        "{conflict}"
    );
    let forced = machine
        .run(&["apply", "-f", &mine, "--force-conflicts"])
        .await
        .done();
    assert_eq!(forced, "role/shared configured\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_manifest_names_file_field_and_what_is_allowed_and_the_others_go_on() {
    let machine = Machine::with_cluster().await;
    machine.file(
        "dir/a.yaml",
        &secret("first", "key", "value").replace("stringData", "strinData"),
    );
    machine.file("dir/b.yaml", &secret("second", "key", "value"));

    let said = machine
        .run(&["apply", "-f", &machine.path("dir").display().to_string()])
        .await;

    assert_eq!(said.out, "secret/second created\n");
    let err = said.failed(3);
    assert!(
        err.contains("a.yaml: secret/first") && err.contains("spec.strinData"),
        "{err}"
    );
    assert!(err.contains("did you mean \"stringData\"?"), "{err}");
    let broken = machine
        .run_with_input("a: [", &["apply", "-f", "-"])
        .await
        .failed(2);
    assert!(broken.contains("standard input: "), "{broken}");
    let missing = machine
        .run(&["apply", "-f", "/nowhere.yaml"])
        .await
        .failed(8);
    assert!(missing.contains("/nowhere.yaml"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_no_more_is_pruned_and_nothing_else() {
    let machine = Machine::with_cluster().await;
    let both = format!(
        "{}---\n{}",
        secret("keep", "k", "v"),
        secret("drop", "k", "v")
    );
    machine
        .run_with_input(&both, &["apply", "-f", "-"])
        .await
        .done();
    let hers = secret("hers", "k", "v");
    machine
        .run_with_input(&hers, &["apply", "-f", "-", "--field-manager", "alice"])
        .await
        .done();

    let refused = machine
        .run_with_input(&secret("keep", "k", "v"), &["apply", "-f", "-", "--prune"])
        .await;
    assert_eq!(refused.code, 2, "{refused:?}");
    let half = machine
        .run_with_input(
            &secret("hers", "k", "another"),
            &["apply", "-f", "-", "--prune", "-l", "app=demo"],
        )
        .await
        .failed(5);
    assert!(half.contains("nothing was pruned"), "{half}");
    let pruned = machine
        .run_with_input(
            &secret("keep", "k", "v"),
            &["apply", "-f", "-", "--prune", "-l", "app=demo"],
        )
        .await;
    assert_eq!(pruned.done(), "secret/keep unchanged\nsecret/drop pruned\n");
    assert_eq!(
        machine.run(&["get", "secrets", "-o", "name"]).await.done(),
        "secret/hers\nsecret/keep\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_waits_for_finalizers_by_default() {
    let machine = Machine::with_cluster().await;
    machine
        .run_with_input(&secret("held", "k", "v"), &["apply", "-f", "-"])
        .await
        .done();
    let hold = r#"{"metadata":{"finalizers":["example.org/hold"]}}"#;
    machine
        .run(&["patch", "secret", "held", "-p", hold])
        .await
        .done();

    let mut deleting = machine.start(&["delete", "secret/held"]);
    assert_eq!(
        deleting.line().await,
        "secret/held deleting: it waits for example.org/hold"
    );
    let impatient = machine
        .run(&["delete", "secret", "held", "--timeout", "10ms"])
        .await
        .failed(7);
    assert!(
        impatient.contains("it waits for example.org/hold"),
        "{impatient}"
    );
    machine
        .run(&[
            "patch",
            "secret",
            "held",
            "-p",
            r#"{"metadata":{"finalizers":null}}"#,
        ])
        .await
        .done();
    assert_eq!(deleting.line().await, "secret/held deleted");
    assert_eq!(deleting.code().await, 0);

    let gone = machine.run(&["delete", "secret", "held"]).await.failed(4);
    assert!(gone.contains("held"), "{gone}");
    machine
        .run(&["delete", "secret", "held", "--ignore-not-found"])
        .await
        .done();
}
