//! Fence levels that can never prove anything.
//!
//! A level succeeds when every device of it says off, asked after all of them were switched. A management board lives from
//! its own host's power: when the same level switches off every outlet that feeds the host, the board is silent when it is
//! asked, and the level fails each time. As two levels the same devices work.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crds::{FenceDevice, FenceLevel, Node};
use quorate_schema::ViolationReason;
use quorate_store::View;
use serde_json::Value;

use super::{Findings, one, read};
use crate::error::Cause;

/// Agents of boards that sit in the host itself.
const BOARDS: [&str; 22] = [
    "fence_amt",
    "fence_amt_ws",
    "fence_drac",
    "fence_drac5",
    "fence_idrac",
    "fence_ilo",
    "fence_ilo2",
    "fence_ilo3",
    "fence_ilo3_ssh",
    "fence_ilo4",
    "fence_ilo4_ssh",
    "fence_ilo5",
    "fence_ilo5_ssh",
    "fence_ilo_mp",
    "fence_ilo_ssh",
    "fence_imm",
    "fence_ipmilan",
    "fence_ipmilanplus",
    "fence_redfish",
    "fence_rsa",
    "fence_rsb",
    "fence_xcc",
];

/// A host that is declared, or changed.
pub(super) fn check(view: &View, next: &Value, findings: &mut Findings) {
    let Some(node) = read::<Node>(next) else {
        return;
    };
    let levels = &node.spec.fencing.levels;
    let named = levels.iter().flat_map(|level| &level.devices);
    let agents: BTreeMap<String, String> = named
        .filter_map(|target| {
            let device = read::<FenceDevice>(&one(view, "fencedevices", target.device.as_str())?)?;
            Some((target.device.to_string(), device.spec.agent?))
        })
        .collect();
    for (at, text) in dead_boards(levels, &agents) {
        findings.causes.push(Cause::new(
            format!("spec.fencing.levels[{at}].devices"),
            ViolationReason::Invalid,
            text,
        ));
    }
}

/// The levels, by their places, in which a board would be asked after all of its power was switched off.
fn dead_boards(levels: &[FenceLevel], agents: &BTreeMap<String, String>) -> Vec<(usize, String)> {
    let is_board = |device: &str| {
        let agent = agents.get(device);
        agent.is_some_and(|agent| BOARDS.contains(&agent.as_str()))
    };
    // What is named with an outlet, and is no board, feeds the host.
    let outlets = |level: &FenceLevel| -> BTreeSet<(String, String)> {
        let targets = level.devices.iter();
        targets
            .filter(|target| !target.plug.is_empty() && !is_board(target.device.as_str()))
            .map(|target| (target.device.to_string(), target.plug.clone()))
            .collect()
    };
    let all: BTreeSet<(String, String)> = levels.iter().flat_map(outlets).collect();
    let mut found = Vec::new();
    for (at, level) in levels.iter().enumerate() {
        let mut targets = level.devices.iter().map(|target| target.device.as_str());
        let Some(board) = targets.find(|device| is_board(device)) else {
            continue;
        };
        if all.is_empty() || outlets(level) != all {
            continue;
        }
        let feeds: Vec<String> = all
            .iter()
            .map(|(device, plug)| format!("outlet {plug} of {device}"))
            .collect();
        found.push((
            at,
            format!(
                "found board {board} together with {}, allowed: one or the other in a level, because with every outlet \
                 off the board is silent and can never say that the host is off; make two levels, the board's first",
                feeds.join(" and ")
            ),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn levels(levels: Value) -> Vec<FenceLevel> {
        serde_json::from_value(levels).expect("levels")
    }

    fn agents() -> BTreeMap<String, String> {
        let pairs = [
            ("ipmi", "fence_ipmilan"),
            ("p1", "fence_apc_snmp"),
            ("p2", "fence_apc_snmp"),
        ];
        let pairs = pairs.map(|(device, agent)| (device.to_owned(), agent.to_owned()));
        pairs.into()
    }

    #[test]
    fn a_board_is_not_asked_after_all_of_its_power_is_off() {
        let both = levels(json!([{"name": "all", "devices": [
            {"device": "ipmi"}, {"device": "p1", "plug": "1"}, {"device": "p2", "plug": "1"},
        ]}]));
        let found = dead_boards(&both, &agents());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, 0);
        assert!(
            found[0]
                .1
                .starts_with("found board ipmi together with outlet 1 of p1 and outlet 1 of p2"),
            "{}",
            found[0].1
        );
        assert!(found[0].1.contains("make two levels"), "{}", found[0].1);
    }

    #[test]
    fn two_levels_are_the_way_out_and_one_cord_of_two_leaves_the_board_alive() {
        let two = levels(json!([
            {"name": "ipmi", "devices": [{"device": "ipmi"}]},
            {"name": "pdu", "devices": [{"device": "p1", "plug": "1"}, {"device": "p2", "plug": "1"}]},
        ]));
        assert!(dead_boards(&two, &agents()).is_empty());
        let one_cord = levels(json!([
            {"name": "odd", "devices": [{"device": "ipmi"}, {"device": "p1", "plug": "1"}]},
            {"name": "pdu", "devices": [{"device": "p1", "plug": "1"}, {"device": "p2", "plug": "1"}]},
        ]));
        assert!(dead_boards(&one_cord, &agents()).is_empty());
        let unknown = levels(json!([{"name": "all", "devices": [
            {"device": "other"}, {"device": "p1", "plug": "1"},
        ]}]));
        assert!(dead_boards(&unknown, &agents()).is_empty());
    }
}
