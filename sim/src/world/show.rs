//! What the log says at the end of a run, for whoever looks into a failed one.

use quorate_store::Bucket;
use serde_json::Value;

use super::World;

/// What is worth looking at, in this order.
const SHOWN: [&str; 8] = [
    "clusters",
    "nodes",
    "storagepools",
    "volumes",
    "virtualmachines",
    "nodeplans",
    "fenceoperations",
    "events",
];

impl World {
    /// Every object, one a line, without its metadata.
    #[must_use]
    pub fn show(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let names = self.setup.member_names();
        let engines = names.iter().filter_map(|name| self.running.get(name));
        let Some(engine) = engines.max_by_key(|engine| engine.store().view().revision()) else {
            return lines;
        };
        let view = engine.store().view();
        for bucket in SHOWN {
            for (key, stored) in view.list(&Bucket::new(bucket), None, usize::MAX) {
                let mut object: Value = serde_json::from_slice(&stored.value).unwrap_or_default();
                if let Some(fields) = object.as_object_mut() {
                    fields.remove("metadata");
                    fields.remove("apiVersion");
                    fields.remove("kind");
                }
                lines.push(format!(
                    "{bucket}/{} @{} {object}",
                    key.name, stored.modified
                ));
            }
        }
        lines
    }
}
