//! get, describe, explain.

use crate::support::{Machine, role, secret};

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_shown_in_every_format() {
    let machine = Machine::with_cluster().await;
    let roles = format!(
        "{}---\n{}",
        role("b", "nodes", "get"),
        role("a", "volumes", "list")
    );
    machine
        .run_with_input(&roles, &["apply", "-f", "-"])
        .await
        .done();
    machine
        .run(&["label", "role", "a", "tier=front"])
        .await
        .done();

    let table = machine.run(&["get", "roles"]).await.done();
    assert!(
        table.starts_with("NAME ") && table.contains("\na ") && table.contains("\nb "),
        "{table}"
    );
    let bare = machine
        .run(&[
            "get",
            "roles",
            "--no-headers",
            "--show-labels",
            "-l",
            "tier=front",
        ])
        .await
        .done();
    assert!(
        bare.starts_with("a ") && bare.trim_end().ends_with("tier=front"),
        "{bare}"
    );
    assert_eq!(
        machine.run(&["get", "roles", "-o", "name"]).await.done(),
        "role/a\nrole/b\n"
    );
    assert_eq!(
        machine
            .run(&["get", "role/a", "-o", "jsonpath={.metadata.name}"])
            .await
            .done(),
        "a"
    );
    let each = r#"jsonpath={range .items[*]}{.metadata.name}={.spec.rules[0].kinds[0]}{"\n"}{end}"#;
    assert_eq!(
        machine.run(&["get", "roles", "-o", each]).await.done(),
        "a=volumes\nb=nodes\n"
    );
    let columns = "custom-columns=NAME:.metadata.name,KINDS:.spec.rules[*].kinds[*]";
    assert_eq!(
        machine.run(&["get", "roles", "-o", columns]).await.done(),
        "NAME   KINDS\na      volumes\nb      nodes\n"
    );
    let sorted = machine
        .run(&[
            "get",
            "roles",
            "-o",
            "name",
            "--sort-by",
            ".spec.rules[0].kinds[0]",
        ])
        .await
        .done();
    assert_eq!(sorted, "role/b\nrole/a\n");
    let yaml = machine
        .run(&["get", "role", "a", "-o", "yaml"])
        .await
        .done();
    assert!(
        yaml.starts_with("apiVersion: quorate.dev/v1alpha1\nkind: Role\n")
            && !yaml.contains("managedFields"),
        "{yaml}"
    );
    let json = machine
        .run(&["get", "role", "a", "-o", "json", "--show-managed-fields"])
        .await
        .done();
    assert!(json.contains("\"managedFields\""), "{json}");
    let several = machine.run(&["get", "roles,secrets"]).await.done();
    assert!(
        several.contains("role/a") || several.contains("\na "),
        "{several}"
    );
    let by_field = machine
        .run(&[
            "get",
            "roles",
            "--field-selector",
            "metadata.name=b",
            "-o",
            "name",
        ])
        .await
        .done();
    assert_eq!(by_field, "role/b\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_ends_with_its_own_code() {
    let machine = Machine::with_cluster().await;
    let missing = machine.run(&["get", "vm", "web"]).await.failed(4);
    assert!(
        missing.contains("web") && missing.contains("quorate get"),
        "{missing}"
    );
    machine
        .run(&["get", "vm", "web", "--ignore-not-found"])
        .await
        .done();
    let kind = machine.run(&["get", "virtualmashines"]).await.failed(2);
    assert!(kind.contains("did you mean \"virtualmachines\"?"), "{kind}");
    assert_eq!(
        machine.run(&["get", "vm"]).await.err,
        "no virtualmachines found\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_objects_than_fit_on_a_page_are_all_shown() {
    let machine = Machine::with_cluster().await;
    let many: Vec<String> = (0..510)
        .map(|number| secret(&format!("s{number:03}"), "k", "v"))
        .collect();
    machine
        .run_with_input(&many.join("---\n"), &["apply", "-f", "-"])
        .await
        .done();
    let names = machine.run(&["get", "secrets", "-o", "name"]).await.done();
    assert_eq!(names.lines().count(), 510);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_shows_its_values_only_as_base64_in_full_output() {
    let machine = Machine::with_cluster().await;
    machine
        .run_with_input(
            &secret("ipmi", "password", "hunter2"),
            &["apply", "-f", "-"],
        )
        .await
        .done();
    let yaml = machine
        .run(&["get", "secret", "ipmi", "-o", "yaml"])
        .await
        .done();
    assert!(yaml.contains("password: aHVudGVyMg=="), "{yaml}");
    let described = machine.run(&["describe", "secret", "ipmi"]).await.done();
    assert!(
        described.contains("password: 7 bytes") && !described.contains("aHVudGVyMg"),
        "{described}"
    );
    let differs = machine
        .run_with_input(&secret("ipmi", "password", "hunter3"), &["diff", "-f", "-"])
        .await;
    assert_eq!(differs.code, 1, "{differs:?}");
    assert!(
        differs.out.contains("*** (after)")
            && !differs.out.contains("hunter")
            && !differs.out.contains("aHVudGVy"),
        "{differs:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_has_conditions_and_events() {
    let machine = Machine::with_cluster().await;
    machine
        .run(&["apply", "-f", &crate::support::examples("minimal")])
        .await
        .done();
    machine
        .run(&[
            "wait",
            "vm/web",
            "--for=condition=Ready=False",
            "--timeout=300s",
        ])
        .await
        .done();

    // Why it is not ready changes as the leader learns of one object after the other.
    let text = machine
        .run_until(&["describe", "vm", "web"], |said| {
            said.out.contains("No Host Fits, alpha: is not online")
                && said.out.contains("\nEvents\n")
        })
        .await;
    assert!(
        text.contains("Name:         web\n") && text.contains("Ready: no, for "),
        "{text}"
    );
    machine
        .run_until(&["status"], |said| {
            said.out.contains("NoHostFits alpha: is not online")
        })
        .await;
}

#[tokio::test]
async fn fields_are_explained_without_a_cluster() {
    let machine = Machine::empty();
    let text = machine.run(&["explain", "vm.spec.memory"]).await.done();
    assert!(
        text.contains("FIELD:    spec.memory <string>, required"),
        "{text}"
    );
    let wrong = machine.run(&["explain", "vm.spec.memry"]).await.failed(2);
    assert!(wrong.contains("did you mean \"memory\"?"), "{wrong}");
    let nowhere = machine.run(&["get", "vm"]).await.failed(2);
    assert!(
        nowhere.contains("no context") && nowhere.contains("quorate join"),
        "{nowhere}"
    );
    assert!(
        machine
            .run(&["completion", "bash"])
            .await
            .done()
            .contains("_quorate")
    );
    assert!(
        machine
            .run(&["help", "exit-codes"])
            .await
            .done()
            .starts_with("0  done")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bash_completes_kinds_and_the_names_of_objects() {
    let machine = Machine::with_cluster().await;
    let roles = format!(
        "{}---\n{}",
        role("looker", "nodes", "get"),
        role("keeper", "nodes", "get")
    );
    machine
        .run_with_input(&roles, &["apply", "-f", "-"])
        .await
        .done();
    let script = machine.run(&["completion", "bash"]).await.done();
    machine.file("completion.bash", &script);

    let completed = async |words: &str| {
        let script = format!(
            "source completion.bash
             COMP_WORDS=({words})
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _quorate_objects quorate ${{COMP_WORDS[COMP_CWORD]}}
             echo ${{COMPREPLY[@]}}"
        );
        machine.bash(&script).await
    };
    assert_eq!(
        completed("quorate get virtualmachines").await,
        "virtualmachines\n"
    );
    assert_eq!(completed("quorate get role ''").await, "keeper looker\n");
    assert_eq!(completed("quorate describe role loo").await, "looker\n");
    assert_eq!(completed("quorate clu").await, "cluster\n");

    machine
        .run(&["apply", "-f", &crate::support::examples("minimal")])
        .await
        .done();
    let hosts = completed("quorate node drain ''").await;
    assert!(!hosts.trim().is_empty(), "no host was offered");
    assert_eq!(completed("quorate plan --fail ''").await, hosts);
    assert_eq!(completed("quorate vm migrate web --to ''").await, hosts);
    assert_eq!(completed("quorate vm stop ''").await, "web\n");
    assert_eq!(completed("quorate why vm we").await, "web\n");
}
