//! The roles that every cluster has. They are part of the program, so that no write can take them away and lock
//! everybody out; a Role object of the same name is not looked at.

use std::sync::LazyLock;

use quorate_crds::Verb;

use super::rule::{Rule, VERBS};

/// What only administrators change: who may do what.
const RIGHTS: [&str; 2] = ["roles", "rolebindings"];
/// What only the planner writes.
const PLANS: &str = "nodeplans";
const SECRETS: &str = "secrets";

const READ: [Verb; 3] = [Verb::Get, Verb::List, Verb::Watch];
/// The object itself and all its parts.
const ALL_PARTS: [&str; 2] = ["", "*"];

pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    pub(super) rules: Vec<Rule>,
}

/// By name; `None` when there is no such built-in role.
pub(super) fn find(name: &str) -> Option<&'static BuiltIn> {
    ROLES.iter().find(|role| role.name == name)
}

static ROLES: LazyLock<[BuiltIn; 5]> = LazyLock::new(|| {
    let kinds = |except: &[&str]| -> Vec<&'static str> {
        quorate_crds::kinds()
            .iter()
            .map(|info| info.plural)
            .filter(|plural| !except.contains(plural))
            .collect()
    };
    [
        BuiltIn {
            name: "admin",
            rules: vec![Rule::new(["*", "cluster/*"], VERBS, ALL_PARTS)],
        },
        BuiltIn {
            name: "operator",
            rules: vec![
                Rule::new(kinds(&[RIGHTS[0], RIGHTS[1], PLANS]), VERBS, [""]),
                Rule::new([RIGHTS[0], RIGHTS[1], PLANS], READ, ALL_PARTS),
                // Who starts and stops a guest may also type at its console.
                Rule::new(["virtualmachines"], [Verb::Update], ["console"]),
                Rule::new(["cluster/status"], [Verb::Get], [""]),
                Rule::new(["cluster/leader"], [Verb::Update], [""]),
            ],
        },
        BuiltIn {
            name: "viewer",
            rules: vec![
                Rule::new(kinds(&[SECRETS]), READ, ALL_PARTS),
                Rule::new(["cluster/status"], [Verb::Get], [""]),
            ],
        },
        // What a host may do follows from its certificate and its plan, see `host`.
        BuiltIn {
            name: "node",
            rules: Vec::new(),
        },
        BuiltIn {
            name: "member",
            rules: vec![Rule::new(["cluster/status"], [Verb::Get], [""])],
        },
    ]
});
