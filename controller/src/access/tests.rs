use std::sync::Arc;

use quorate_crds::{RoleBindingSpec, RoleSpec};
use quorate_identity::{Peer, Subject};
use serde_json::{Value, json};

use super::{policy::Policy, rule::Rule, *};
use crate::tls::ConnectionInfo;

fn caller(subject: Subject) -> Caller {
    let connection = ConnectionInfo::new(
        "10.0.0.9:4711".parse().expect("an address"),
        Some(Arc::new(Peer {
            subject,
            not_before: "1970-01-01T00:00:00Z".parse().expect("a time"),
            not_after: "2027-01-01T00:00:00Z".parse().expect("a time"),
            serial: "01".into(),
        })),
    );
    Caller::authenticate_for_renewal(&connection).expect("a certificate")
}

fn person(name: &str, groups: &[&str]) -> Caller {
    let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
    caller(Subject::person(name, &groups).expect("a name"))
}

fn action(text: &str) -> Action {
    let mut words = text.split(' ');
    let verb = words.next().expect("a verb");
    let (kind, subresource) = match words.next().expect("a kind").split_once('#') {
        Some((kind, subresource)) => (kind, subresource),
        None => (text.split(' ').nth(1).expect("a kind"), ""),
    };
    Action::parse(verb, kind, words.next().unwrap_or_default(), subresource).expect("an action")
}

fn policy(roles: &[(&str, Value)], bindings: &[Value]) -> Policy {
    let mut policy = Policy::default();
    for (name, rules) in roles {
        let role: RoleSpec = serde_json::from_value(json!({"rules": rules})).expect("a role");
        policy.add_role(name, &role);
    }
    for binding in bindings {
        let binding: RoleBindingSpec = serde_json::from_value(binding.clone()).expect("a binding");
        policy.add_binding(&binding);
    }
    policy
}

fn rules(rules: Value) -> Vec<Rule> {
    let role: RoleSpec = serde_json::from_value(json!({"rules": rules})).expect("a role");
    role.rules.iter().map(Rule::from).collect()
}

#[test]
fn who_has_no_role_may_do_nothing_and_is_told_so() {
    let policy = policy(&[], &[]);
    let bob = person("bob", &["staff"]);
    assert!(!policy.allows(&bob, &action("get vm web")));
    let refusal = policy.refusal(&bob, &action("get vm web"));
    assert!(
        refusal.contains("user \"bob\" cannot get virtualmachines \"web\""),
        "{refusal}"
    );
    assert!(refusal.contains("RoleBinding"), "{refusal}");
}

#[test]
fn a_viewer_sees_everything_but_secrets_and_changes_nothing() {
    let policy = policy(
        &[],
        &[json!({"role": "viewer", "subjects": [{"kind": "User", "name": "bob"}]})],
    );
    let bob = person("bob", &[]);
    for allowed in [
        "get vm web",
        "list nodes",
        "watch events",
        "get nodeplans n1",
        "get cluster/status",
    ] {
        assert!(policy.allows(&bob, &action(allowed)), "{allowed}");
    }
    for refused in [
        "get secrets bmc",
        "list secrets",
        "create vm web",
        "apply vm web",
        "update vm#status web",
        "delete vm web",
        "update cluster/tokens",
        "get cluster/backup",
    ] {
        assert!(!policy.allows(&bob, &action(refused)), "{refused}");
    }
    let refusal = policy.refusal(&bob, &action("update vm web"));
    assert!(
        refusal.ends_with("none of the user's roles allows it (viewer)"),
        "{refusal}"
    );
}

#[test]
fn an_operator_runs_everything_but_says_neither_who_may_nor_what_is_observed() {
    let policy = policy(
        &[],
        &[json!({"role": "operator", "subjects": [{"kind": "Group", "name": "ops"}]})],
    );
    let olga = person("olga", &["ops"]);
    for allowed in [
        "apply vm web",
        "delete nodes n1",
        "get secrets bmc",
        "get roles x",
        "update cluster/leader",
    ] {
        assert!(policy.allows(&olga, &action(allowed)), "{allowed}");
    }
    for refused in [
        "create roles x",
        "update rolebindings x",
        "update nodeplans n1",
        "update vm#status web",
        "update cluster/members",
        "update cluster/tokens",
    ] {
        assert!(!policy.allows(&olga, &action(refused)), "{refused}");
    }
}

#[test]
fn the_administrators_group_may_do_everything_whatever_the_roles_say() {
    let policy = policy(&[("admin", json!([]))], &[]);
    let admin = caller(Subject::admin());
    for allowed in [
        "delete roles x",
        "update vm#status web",
        "update cluster/tokens",
        "* *",
    ] {
        assert!(policy.allows(&admin, &action(allowed)), "{allowed}");
    }
}

#[test]
fn a_rule_with_names_covers_those_objects_and_no_list_of_all() {
    let policy = policy(
        &[(
            "web",
            json!([{"kinds": ["VirtualMachine"], "verbs": ["get", "list", "patch"], "names": ["web"]}]),
        )],
        &[json!({"role": "web", "subjects": [{"kind": "User", "name": "bob"}]})],
    );
    let bob = person("bob", &[]);
    assert!(policy.allows(&bob, &action("apply vm web")));
    assert!(
        policy.allows(&bob, &action("list vm web")),
        "metadata.name=web"
    );
    assert!(!policy.allows(&bob, &action("list vm")));
    assert!(!policy.allows(&bob, &action("get vm db")));
    assert!(!policy.allows(&bob, &action("patch vm#status web")));
}

#[test]
fn all_kinds_are_the_objects_and_not_the_calls_about_the_cluster() {
    let policy = policy(
        &[("all", json!([{"kinds": ["*"], "verbs": ["*"]}]))],
        &[json!({"role": "all", "subjects": [{"kind": "User", "name": "bob"}]})],
    );
    let bob = person("bob", &[]);
    assert!(policy.allows(&bob, &action("delete roles x")));
    assert!(!policy.allows(&bob, &action("get cluster/backup")));
}

#[test]
fn a_binding_of_a_host_or_to_a_role_that_is_not_there_gives_nothing() {
    let policy = policy(
        &[],
        &[
            json!({"role": "admin", "subjects": [{"kind": "Node", "name": "n1"}]}),
            json!({"role": "gone", "subjects": [{"kind": "User", "name": "bob"}]}),
        ],
    );
    let host = caller(Subject::node("n1").expect("a name"));
    assert!(!policy.allows(&host, &action("get secrets bmc")));
    assert!(!policy.allows(&person("bob", &[]), &action("get vm web")));
    // Nor does a person get a host's binding by taking its bare name.
    assert!(!policy.allows(&person("n1", &[]), &action("get vm web")));
}

#[test]
fn nobody_gives_away_more_than_he_holds() {
    let policy = policy(
        &[(
            "team",
            json!([
                {"kinds": ["virtualmachines"], "verbs": ["get", "patch"], "names": ["a", "b"]},
                {"kinds": ["virtualmachines"], "verbs": ["get"], "names": ["c"]},
                {"kinds": ["roles", "rolebindings"], "verbs": ["*"]}
            ]),
        )],
        &[json!({"role": "team", "subjects": [{"kind": "User", "name": "bob"}]})],
    );
    let bob = person("bob", &[]);
    let excess = |rules_: Value| {
        policy
            .excess(&bob, &rules(rules_))
            .map(|action| action.to_string())
    };

    let held = json!([{"kinds": ["vm"], "verbs": ["get"], "names": ["a", "b", "c"]}]);
    assert_eq!(excess(held), None);
    let one_name_more = json!([{"kinds": ["vm"], "verbs": ["patch"], "names": ["a", "c"]}]);
    assert_eq!(
        excess(one_name_more).as_deref(),
        Some("patch virtualmachines \"c\"")
    );
    let all_names = json!([{"kinds": ["vm"], "verbs": ["get"]}]);
    assert_eq!(excess(all_names).as_deref(), Some("get virtualmachines"));
    let all_parts =
        json!([{"kinds": ["vm"], "verbs": ["get"], "names": ["a"], "subresources": ["*"]}]);
    assert_eq!(
        excess(all_parts).as_deref(),
        Some("get virtualmachines/* \"a\"")
    );
    assert!(excess(json!([{"kinds": ["*"], "verbs": ["get"]}])).is_some());
    assert!(excess(json!([{"kinds": ["cluster/*"], "verbs": ["get"]}])).is_some());
    assert!(
        policy
            .excess(&bob, policy.rules("admin").expect("built in"))
            .is_some()
    );
    assert!(
        policy
            .excess(
                &caller(Subject::admin()),
                policy.rules("team").expect("there")
            )
            .is_none()
    );
}

#[test]
fn rules_are_told_in_a_line_each() {
    let policy = policy(
        &[(
            "web",
            json!([{"kinds": ["vm", "volumes"], "verbs": ["get", "patch"], "names": ["web"], "subresources": ["status"]}]),
        )],
        &[json!({"role": "web", "subjects": [{"kind": "User", "name": "bob"}]})],
    );
    assert_eq!(
        policy.describe(&person("bob", &[])),
        ["get,patch virtualmachines,volumes named web (status)"]
    );
}

#[test]
fn an_expired_certificate_is_good_for_renewal_only() {
    let connection = ConnectionInfo::new(
        "10.0.0.9:4711".parse().expect("an address"),
        Some(Arc::new(caller(Subject::admin()).peer().clone())),
    );
    let late = "2028-01-01T00:00:00Z".parse().expect("a time");

    let refusal = Caller::authenticate(&connection, late).expect_err("expired");
    assert!(refusal.to_string().contains("renew it"), "{refusal}");
    Caller::authenticate_for_renewal(&connection).expect("renewal");

    let nobody = ConnectionInfo::new(connection.remote, None);
    Caller::authenticate_for_renewal(&nobody).expect_err("no certificate at all");
}
