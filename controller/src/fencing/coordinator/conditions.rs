use jiff::Timestamp;
use quorate_crds::{Condition, ConditionStatus, Time};
use quorate_planner::Reason;

/// Says something in the condition `type_`; its time moves only when its status does.
pub(crate) fn say(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: ConditionStatus,
    reason: Reason,
    message: &str,
    wall: Timestamp,
) {
    let old = conditions
        .iter()
        .position(|condition| condition.type_ == type_);
    let since = match old.map(|at| &conditions[at]) {
        Some(old) if old.status == status => old.last_transition_time.clone(),
        _ => Time::from(wall),
    };
    let new = Condition {
        type_: type_.to_owned(),
        status,
        reason: reason.to_string(),
        message: message.to_owned(),
        last_transition_time: since,
        observed_generation: None,
    };
    match old {
        Some(at) => conditions[at] = new,
        None => conditions.push(new),
    }
}
