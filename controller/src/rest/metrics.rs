//! Figures of this member, in the form that Prometheus reads.

mod networks;

use std::{collections::BTreeMap, fmt::Write};

use http::StatusCode;
use quorate_store::{Bucket, Role, View};
use serde_json::Value;

use super::{
    answer::{self, Answer},
    asked::Asked,
    face::Face,
};
use crate::{
    access::{Action, ClusterCall},
    api::Weight,
};

const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Text that is being written, a figure after the other.
#[derive(Default)]
struct Page(String);

impl Page {
    fn heading(&mut self, name: &str, words: &str) {
        // Writing to a text cannot fail.
        let _ = write!(self.0, "# HELP {name} {words}\n# TYPE {name} gauge\n");
    }

    fn gauge(&mut self, name: &str, words: &str, value: impl Into<u64>) {
        self.heading(name, words);
        let _ = writeln!(self.0, "{name} {}", value.into());
    }

    fn labelled(&mut self, name: &str, label: &str, value: &str, figure: u64) {
        self.series(name, &format!("{label}=\"{value}\""), &figure.to_string());
    }

    fn series(&mut self, name: &str, labels: &str, figure: &str) {
        let _ = writeln!(self.0, "{name}{{{labels}}} {figure}");
    }
}

impl Face {
    /// The answer to `/metrics`, for those who may see the cluster's status.
    pub(super) async fn metrics(&self, asked: Asked) -> Answer {
        let call = self.begin(&asked, Weight::Call)?;
        let action = Action::cluster(ClusterCall::Status);
        self.front.authorise(&call.caller, &action).await?;
        let store = self.front.engine.store();
        let (status, view) = (store.status(), store.view());
        let voters = status
            .members
            .iter()
            .filter(|member| member.role == Role::Voter)
            .count();
        let (calls, watches) = self.front.admittance.under_way();

        let mut page = Page::default();
        page.gauge(
            "quorate_leader",
            "Whether this member leads.",
            status.leader == Some(status.member_id),
        );
        page.gauge(
            "quorate_leader_known",
            "Whether this member knows a leader.",
            status.leader.is_some(),
        );
        page.gauge(
            "quorate_quorum",
            "Whether a majority was heard lately.",
            status.quorum,
        );
        page.gauge("quorate_term", "The Raft term.", status.term);
        page.gauge(
            "quorate_revision",
            "The newest revision that this member has applied.",
            status.revision,
        );
        page.gauge(
            "quorate_compacted_revision",
            "Watches reach back to here.",
            status.compacted,
        );
        page.gauge(
            "quorate_log_last_index",
            "The last entry in this member's log.",
            status.last_index,
        );
        page.gauge(
            "quorate_log_applied_index",
            "The last entry that this member has applied.",
            status.applied_index,
        );
        page.gauge("quorate_voters", "How many members vote.", voters as u64);
        page.gauge(
            "quorate_members",
            "How many members there are.",
            status.members.len() as u64,
        );
        page.gauge(
            "quorate_storage_problem",
            "Whether something is wrong with this member's storage.",
            status.storage_problem.is_some(),
        );
        page.gauge(
            "quorate_calls",
            "Calls that are under way at this member.",
            calls as u64,
        );
        page.gauge(
            "quorate_watches",
            "Watches that are open at this member.",
            watches as u64,
        );
        page.heading("quorate_objects", "How many objects of a kind there are.");
        for kind in quorate_crds::kinds() {
            let count = view.count(&Bucket::new(kind.plural)) as u64;
            page.labelled("quorate_objects", "resource", kind.plural, count);
        }
        for (name, words, resource, label) in STATES {
            page.heading(name, words);
            let counted = by_state(&view, resource, label);
            for (state, count) in counted {
                page.labelled(name, label, &state, count);
            }
        }
        networks::write(&mut page, &view);
        Ok(answer::bytes(StatusCode::OK, MEDIA_TYPE, page.0.into()))
    }
}

/// What is counted by a field of its status: the figure, its words, the resource, the field.
const STATES: [(&str, &str, &str, &str); 5] = [
    (
        "quorate_hosts",
        "Hosts by state: whoever is Suspect or Fencing is being made safe.",
        "nodes",
        "state",
    ),
    (
        "quorate_guests",
        "Guests by state.",
        "virtualmachines",
        "state",
    ),
    ("quorate_volumes", "Volumes by state.", "volumes", "state"),
    (
        "quorate_fence_operations",
        "Fence operations by phase: for Blocked ones every level has failed, and somebody should come.",
        "fenceoperations",
        "phase",
    ),
    (
        "quorate_fence_devices",
        "Fence devices by state.",
        "fencedevices",
        "state",
    ),
];

/// How many objects of a resource say what in that field of their status; `Unknown` where nothing is said.
fn by_state(view: &View, resource: &str, field: &str) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for (_, stored) in view.list(&Bucket::new(resource), None, usize::MAX) {
        let object: Value = serde_json::from_slice(&stored.value).unwrap_or_default();
        let state = object["status"][field].as_str().unwrap_or("Unknown");
        *counted.entry(state.to_owned()).or_default() += 1;
    }
    counted
}
