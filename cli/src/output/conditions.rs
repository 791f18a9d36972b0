//! Conditions and other words of health, and the colours that belong to them.

use serde_json::Value;

use crate::{console::Tone, object};

/// A condition as the API has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition<'a> {
    pub(crate) type_: &'a str,
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
    pub(crate) since: &'a str,
}

/// All conditions of an object.
pub(crate) fn of(object: &Value) -> Vec<Condition<'_>> {
    let list = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|condition| Condition {
            type_: object::text(condition, "/type"),
            status: object::text(condition, "/status"),
            reason: object::text(condition, "/reason"),
            message: object::text(condition, "/message"),
            since: object::text(condition, "/lastTransitionTime"),
        })
        .collect()
}

/// The condition of this type, if the object has one.
pub(crate) fn find<'a>(object: &'a Value, type_: &str) -> Option<Condition<'a>> {
    of(object).into_iter().find(|one| one.type_ == type_)
}

impl Condition<'_> {
    /// Whether this is as it should be. Conditions are named for the good state, except for those that
    /// name a trouble.
    pub(crate) fn is_good(&self) -> Option<bool> {
        let names_trouble = quorate_crds::names_trouble(self.type_);
        match self.status {
            "True" => Some(!names_trouble),
            "False" => Some(names_trouble),
            _ => None,
        }
    }

    /// The state in a person's words.
    pub(crate) fn plain(&self) -> &'static str {
        match self.status {
            "True" => "yes",
            "False" => "no",
            _ => "unknown",
        }
    }

    pub(crate) fn tone(&self) -> Tone {
        match self.is_good() {
            Some(true) => Tone::Good,
            Some(false) => Tone::Bad,
            None => Tone::Warn,
        }
    }
}

/// The colour of a cell: some words mean the same wherever they stand.
pub(crate) fn tone_of_word(header: &str, word: &str) -> Tone {
    const COLUMNS_OF_HEALTH: [&str; 8] = [
        "READY",
        "STATE",
        "STATUS",
        "PHASE",
        "TYPE",
        "HEALTH",
        "REACHABLE",
        "ROLE",
    ];
    if !COLUMNS_OF_HEALTH.contains(&header.to_ascii_uppercase().as_str()) {
        return Tone::Plain;
    }
    match word {
        "True" | "Ready" | "Running" | "Online" | "UpToDate" | "Succeeded" | "Healthy"
        | "Bound" | "Mounted" | "yes" => Tone::Good,
        "False" | "Failed" | "Lost" | "Fenced" | "Broken" | "Error" | "Crashed" | "SplitBrain"
        | "no" => Tone::Bad,
        "Unknown" | "Pending" | "Degraded" | "Suspect" | "Starting" | "Stopping" | "Migrating"
        | "Warning" | "Syncing" => Tone::Warn,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_named_for_a_trouble_is_good_when_false() {
        let object = json!({"status": {"conditions": [
            {"type": "Ready", "status": "False", "reason": "NoMemory"},
            {"type": "RingDegraded", "status": "False"},
            {"type": "Placed", "status": "Unknown"},
        ]}});
        let tones: Vec<_> = of(&object).iter().map(Condition::tone).collect();
        assert_eq!(tones, [Tone::Bad, Tone::Good, Tone::Warn]);
    }

    #[test]
    fn words_of_health_have_colours_only_in_columns_of_health() {
        assert_eq!(tone_of_word("STATE", "Running"), Tone::Good);
        assert_eq!(tone_of_word("READY", "False"), Tone::Bad);
        assert_eq!(tone_of_word("NAME", "Failed"), Tone::Plain);
    }
}
