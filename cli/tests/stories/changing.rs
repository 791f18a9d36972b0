//! edit, label, annotate, patch.

use crate::support::{Machine, role};

async fn with_role() -> Machine {
    let machine = Machine::with_cluster().await;
    machine
        .run_with_input(&role("looker", "nodes", "get"), &["apply", "-f", "-"])
        .await
        .done();
    machine
}

const KINDS: &str = "jsonpath={.spec.rules[0].kinds[0]}";

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_object_is_saved() {
    let machine = with_role().await;
    let edited = machine
        .run_with_editor("sed -i s/nodes/volumes/ $1", &["edit", "role/looker"])
        .await
        .done();
    assert_eq!(edited, "role/looker configured\n");
    assert_eq!(
        machine
            .run(&["get", "role", "looker", "-o", KINDS])
            .await
            .done(),
        "volumes"
    );
    let same = machine
        .run_with_editor("true", &["edit", "role/looker"])
        .await;
    assert_eq!((same.code, same.err.as_str()), (0, "nothing was changed\n"));
    let failed = machine
        .run_with_editor("exit 3", &["edit", "role/looker"])
        .await
        .failed(8);
    assert!(failed.contains("nothing was changed"), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_edit_comes_back_with_the_reason_and_can_be_put_right() {
    let machine = with_role().await;
    // The first time the field is mistyped; the second time the reason must stand in the file.
    let script = "if grep -q 'This was refused' $1; then sed -i s/verbz/verbs/ $1; else sed -i -e s/verbs/verbz/ -e s/nodes/volumes/ $1; fi";
    machine
        .run_with_editor(script, &["edit", "role/looker"])
        .await
        .done();
    assert_eq!(
        machine
            .run(&["get", "role", "looker", "-o", KINDS])
            .await
            .done(),
        "volumes"
    );

    let stubborn = machine
        .run_with_editor("sed -i s/verbs/verbz/ $1", &["edit", "role/looker"])
        .await
        .failed(3);
    assert!(stubborn.contains("your text is kept in"), "{stubborn}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_laid_over_a_change_that_came_first() {
    let machine = with_role().await;
    // While the first editor is open, somebody else labels the object.
    let program = env!("CARGO_BIN_EXE_quorate");
    let script = format!(
        "if grep -q 'changed the object meanwhile' $1; then exit 0; fi\n{program} label role looker tier=front >/dev/null\nsed -i s/nodes/volumes/ $1"
    );
    machine
        .run_with_editor(&script, &["edit", "role/looker"])
        .await
        .done();
    assert_eq!(
        machine
            .run(&["get", "role", "looker", "-o", KINDS])
            .await
            .done(),
        "volumes"
    );
    assert_eq!(
        machine
            .run(&[
                "get",
                "role",
                "looker",
                "-o",
                "jsonpath={.metadata.labels.tier}"
            ])
            .await
            .done(),
        "front"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_annotations_are_set_changed_only_on_request_and_removed() {
    let machine = with_role().await;
    assert_eq!(
        machine
            .run(&["label", "role/looker", "tier=front"])
            .await
            .done(),
        "role/looker labeled\n"
    );
    assert_eq!(
        machine
            .run(&["label", "role/looker", "tier=front"])
            .await
            .done(),
        "role/looker unchanged\n"
    );
    let refused = machine
        .run(&["label", "role/looker", "tier=back"])
        .await
        .failed(2);
    assert!(refused.contains("--overwrite"), "{refused}");
    machine
        .run(&["label", "role/looker", "tier=back", "--overwrite"])
        .await
        .done();
    machine
        .run(&["annotate", "role", "looker", "note=from the book"])
        .await
        .done();
    let both = "jsonpath={.metadata.labels.tier} {.metadata.annotations.note}";
    assert_eq!(
        machine
            .run(&["get", "role", "looker", "-o", both])
            .await
            .done(),
        "back from the book"
    );
    machine
        .run(&["label", "roles", "--all", "tier-"])
        .await
        .done();
    machine
        .run(&["annotate", "role", "looker", "note-"])
        .await
        .done();
    assert_eq!(
        machine
            .run(&["get", "role", "looker", "-o", both])
            .await
            .done(),
        " "
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_change_some_fields() {
    let machine = with_role().await;
    let merge = r#"{"metadata":{"labels":{"a":"b"}}}"#;
    assert_eq!(
        machine
            .run(&["patch", "role", "looker", "-p", merge])
            .await
            .done(),
        "role/looker patched\n"
    );
    let operations = r#"[{"op":"replace","path":"/spec/rules/0/kinds/0","value":"volumes"}]"#;
    machine
        .run(&[
            "patch", "role", "looker", "--type", "json", "-p", operations,
        ])
        .await
        .done();
    assert_eq!(
        machine
            .run(&["get", "role", "looker", "-o", KINDS])
            .await
            .done(),
        "volumes"
    );
    let mixed = machine
        .run(&["patch", "role", "looker", "-p", operations])
        .await
        .failed(2);
    assert!(mixed.contains("--type json"), "{mixed}");
}
