//! Reading how far a fence operation is.

use serde_json::Value;

use crate::{
    object,
    progress::{Seen, Verdict},
};

/// How far the operation `name` is that makes `node` safe.
pub(crate) fn fenced(seen: &Seen, name: &str, node: &str) -> Verdict {
    let Some(operation) = seen.get("FenceOperation", name) else {
        return Verdict::Failed(format!("fenceoperation/{name} was deleted meanwhile"));
    };
    let evidence = object::text(operation, "/status/evidence/kind");
    match object::text(operation, "/status/phase") {
        "Succeeded" => Verdict::Done(format!(
            "node/{node} is confirmed off ({})",
            in_words(evidence)
        )),
        "Failed" => Verdict::Failed(format!(
            "{node} is not confirmed off: {}",
            trouble(operation)
        )),
        "Voided" => Verdict::Failed(format!(
            "the evidence that {node} is off was voided: {}",
            or_unknown(object::text(operation, "/status/voidReason"))
        )),
        "Blocked" => Verdict::Going(format!(
            "no fence level has worked yet, {}; they are tried again and again",
            trouble(operation)
        )),
        "Running" => Verdict::Going(format!(
            "fencing {node}: level {}{}",
            or_unknown(object::text(operation, "/status/level")),
            attempts(operation)
        )),
        _ => Verdict::Going(format!("fencing {node}: waiting for its turn")),
    }
}

/// How far the test `name` is, which changes nothing.
pub(crate) fn tested(seen: &Seen, name: &str, about: &str) -> Verdict {
    let Some(operation) = seen.get("FenceOperation", name) else {
        return Verdict::Failed(format!("fenceoperation/{name} was deleted meanwhile"));
    };
    match object::text(operation, "/status/phase") {
        "Succeeded" => Verdict::Done(format!("{about} works{}", said(operation))),
        "Failed" | "Blocked" | "Voided" => {
            Verdict::Failed(format!("{about} does not work: {}", trouble(operation)))
        }
        "Running" => Verdict::Going(format!("asking {about}")),
        _ => Verdict::Going(format!("{about} waits for its turn")),
    }
}

/// What sort of proof it is, in a person's words.
pub(crate) fn in_words(evidence: &str) -> &str {
    match evidence {
        "Devices" => "its fence devices say so",
        "Watchdog" => "its watchdog must have fired",
        "Person" => "a person vouches for it",
        "NewBoot" => "it has booted anew since",
        _ => "the evidence is in the operation",
    }
}

fn attempts(operation: &Value) -> String {
    match operation
        .pointer("/status/attempts")
        .and_then(Value::as_u64)
    {
        Some(several) if several > 1 => format!(", attempt {several}"),
        _ => String::new(),
    }
}

fn results(operation: &Value) -> impl Iterator<Item = &Value> {
    let results = operation
        .pointer("/status/results")
        .and_then(Value::as_array);
    results.into_iter().flatten()
}

/// What devices that answered said: ` (an-p01 outlet 1: PoweredOn)`.
fn said(operation: &Value) -> String {
    let said: Vec<String> = results(operation)
        .map(|result| format!("{}: {}", device(result), object::text(result, "/power")))
        .collect();
    if said.is_empty() {
        String::new()
    } else {
        format!(" ({})", said.join(", "))
    }
}

fn trouble(operation: &Value) -> String {
    let told: Vec<String> = results(operation)
        .filter(|result| !object::text(result, "/message").is_empty())
        .map(|result| format!("{}: {}", device(result), object::text(result, "/message")))
        .collect();
    if !told.is_empty() {
        return told.join("; ");
    }
    let conditions = operation
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let told = conditions
        .into_iter()
        .flatten()
        .map(|condition| object::text(condition, "/message"))
        .find(|message| !message.is_empty());
    or_unknown(told.unwrap_or_default()).to_owned()
}

fn device(result: &Value) -> String {
    match object::text(result, "/plug") {
        "" => object::text(result, "/device").to_owned(),
        plug => format!("{} outlet {plug}", object::text(result, "/device")),
    }
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() {
        "it does not say why"
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(status: Value) -> Seen {
        let operation =
            json!({"kind": "FenceOperation", "metadata": {"name": "x"}, "status": status});
        [operation].into_iter().collect()
    }

    #[test]
    fn an_operation_ends_with_its_evidence_or_with_what_the_devices_said() {
        let done = seen(json!({"phase": "Succeeded", "evidence": {"kind": "Devices"}}));
        assert_eq!(
            fenced(&done, "x", "an1"),
            Verdict::Done("node/an1 is confirmed off (its fence devices say so)".into())
        );
        let blocked = seen(json!({"phase": "Blocked", "results": [
            {"level": "pdu", "device": "an-p01", "plug": "1", "message": "no answer within 20s"}]}));
        assert_eq!(
            fenced(&blocked, "x", "an1"),
            Verdict::Going(
                "no fence level has worked yet, an-p01 outlet 1: no answer within 20s; they are tried again and again"
                    .into()
            )
        );
    }

    #[test]
    fn a_test_tells_what_every_device_answered() {
        let well = seen(json!({"phase": "Succeeded", "results": [
            {"level": "ipmi", "device": "ipmi-an1", "plug": "", "power": "PoweredOn"}]}));
        assert_eq!(
            tested(&well, "x", "level ipmi of an1"),
            Verdict::Done("level ipmi of an1 works (ipmi-an1: PoweredOn)".into())
        );
        let broken = seen(json!({"phase": "Failed", "results": [
            {"level": "ipmi", "device": "ipmi-an1", "plug": "", "message": "wrong password"}]}));
        assert_eq!(
            tested(&broken, "x", "level ipmi of an1"),
            Verdict::Failed("level ipmi of an1 does not work: ipmi-an1: wrong password".into())
        );
    }
}
