//! `quorate wait`: until objects are in a state. It watches and never polls.

use std::{str::FromStr, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    client::{Client, Follow, Followed, Refusal, Scope},
    error::CliError,
    jsonpath::{Path, scalar_text},
    kinds, object,
    output::{age, conditions},
    session::Session,
    tally::Tally,
    values,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// KIND NAME, KIND/NAME, or KIND with -l or --all
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
    /// condition=TYPE[=STATUS], jsonpath=PATH[=VALUE], create or delete
    #[arg(long = "for", required = true, value_name = "STATE")]
    goal: Goal,
    /// Only objects with these labels
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    selector: String,
    /// All objects of the kind
    #[arg(long)]
    all: bool,
    /// How long to wait; 0 looks once
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    timeout: Duration,
}

/// The state to wait for.
#[derive(Debug, Clone)]
pub(crate) enum Goal {
    Condition { type_: String, status: String },
    JsonPath { path: Path, value: Option<String> },
    Created,
    Deleted,
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "delete" => Ok(Self::Deleted),
            None if text == "create" => Ok(Self::Created),
            Some(("condition", condition)) if !condition.is_empty() => {
                let (type_, status) = condition.split_once('=').unwrap_or((condition, "True"));
                Ok(Self::Condition {
                    type_: type_.to_owned(),
                    status: status.to_owned(),
                })
            }
            Some(("jsonpath", rest)) => {
                let (path, value) = split_path(rest);
                Ok(Self::JsonPath {
                    path: path.parse().map_err(|error| format!("{error}"))?,
                    value: value.map(str::to_owned),
                })
            }
            _ => Err(format!(
                "{text:?} is no state to wait for; write condition=Ready, condition=Ready=False, \
                 jsonpath='{{.status.node}}'=an01, create or delete"
            )),
        }
    }
}

// The path may hold `=` in a filter, so the sign that counts is the one after the closing brace.
fn split_path(text: &str) -> (&str, Option<&str>) {
    if text.starts_with('{') {
        match text.split_once("}=") {
            Some((path, value)) => (&text[..=path.len()], Some(value)),
            None => (text, None),
        }
    } else {
        text.split_once('=')
            .map_or((text, None), |(path, value)| (path, Some(value)))
    }
}

impl Goal {
    fn is_met_by(&self, object: &Value) -> bool {
        match self {
            Self::Created => true,
            Self::Deleted => false,
            // A condition that was set for an older generation tells nothing about this one.
            Self::Condition { type_, status } => {
                let generation = object
                    .pointer("/metadata/generation")
                    .and_then(Value::as_u64);
                let observed = object
                    .pointer("/status/observedGeneration")
                    .and_then(Value::as_u64);
                let current = !matches!((generation, observed), (Some(generation), Some(observed)) if observed < generation);
                current
                    && conditions::of(object).iter().any(|condition| {
                        condition.type_.eq_ignore_ascii_case(type_)
                            && condition.status.eq_ignore_ascii_case(status)
                    })
            }
            Self::JsonPath { path, value } => {
                let found = path.select(object);
                match value {
                    Some(wanted) => {
                        !found.is_empty() && found.iter().all(|found| scalar_text(found) == *wanted)
                    }
                    None => found.iter().any(|found| !found.is_null()),
                }
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Condition { type_, status } => format!("condition {type_}={status}"),
            Self::JsonPath {
                path,
                value: Some(value),
            } => format!("{path} to be {value}"),
            Self::JsonPath { path, value: None } => format!("{path} to be set"),
            Self::Created => "its creation".to_owned(),
            Self::Deleted => "its deletion".to_owned(),
        }
    }

    fn words_when_met(&self) -> &'static str {
        match self {
            Self::Condition { .. } | Self::JsonPath { .. } => "condition met",
            Self::Created => "created",
            Self::Deleted => "deleted",
        }
    }

    fn present_state(&self, object: Option<&Value>) -> String {
        let Some(object) = object else {
            return "it does not exist".to_owned();
        };
        match self {
            Self::Condition { type_, .. } => {
                let all = conditions::of(object);
                match all
                    .iter()
                    .find(|condition| condition.type_.eq_ignore_ascii_case(type_))
                {
                    Some(now) => {
                        format!("it is {} now: {} {}", now.status, now.reason, now.message)
                            .trim_end()
                            .to_owned()
                    }
                    None => format!("it has no condition {type_} yet"),
                }
            }
            Self::JsonPath { path, .. } => match path.text(object) {
                Some(now) => format!("it is {now} now"),
                None => "it is not set now".to_owned(),
            },
            Self::Created => "it exists".to_owned(),
            Self::Deleted => waiting_for(object),
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let targets = kinds::targets(&args.what)?;
    let client = session.client().await?;
    let mut wanted: Vec<(&'static str, &'static str, String)> = Vec::new();
    for target in &targets {
        let (plural, singular) = (target.kind.plural, target.kind.singular);
        if let Some(name) = target.name {
            wanted.push((plural, singular, name.to_owned()));
            continue;
        }
        if args.selector.is_empty() && !args.all {
            return Err(CliError::usage(format!(
                "name the {plural} to wait for, or choose them with -l SELECTOR or --all"
            )));
        }
        let scope = Scope {
            kind: plural.to_owned(),
            label_selector: args.selector.clone(),
            ..Scope::default()
        };
        let listed = client.list(&scope, false).await?;
        wanted.extend(
            listed
                .objects
                .iter()
                .map(|object| (plural, singular, object::name(object).to_owned())),
        );
    }
    if wanted.is_empty() {
        session
            .console
            .note("nothing matches, so there is nothing to wait for");
    }
    let mut running: FuturesUnordered<_> = wanted
        .iter()
        .map(|(plural, singular, name)| {
            let client = Arc::clone(&client);
            let goal = &args.goal;
            async move {
                let about = format!("{singular}/{name}");
                let reached = until(client, plural, name, "", goal, args.timeout).await;
                (about, reached)
            }
        })
        .collect();
    let mut tally = Tally::default();
    while let Some((about, reached)) = running.next().await {
        if tally.take(&session.console, &about, reached)?.is_some() {
            session
                .console
                .line(&format!("{about} {}", args.goal.words_when_met()))?;
        }
    }
    tally.finish()
}

/// Wait for one object. With a uid, an object of the same name that was made anew counts as deleted.
pub(crate) async fn until(
    client: Arc<Client>,
    kind: &str,
    name: &str,
    uid: &str,
    goal: &Goal,
    limit: Duration,
) -> Result<(), CliError> {
    let scope = Scope {
        kind: kind.to_owned(),
        field_selector: format!("metadata.name={name}"),
        ..Scope::default()
    };
    let mut waiting = Waiting {
        follow: Follow::from_now(client, scope),
        last: None,
        looked: false,
    };
    let deadline = Instant::now() + limit;
    loop {
        // The first look is not cut short: a time of 0 looks once.
        let met = if waiting.looked {
            tokio::time::timeout_at(deadline, waiting.step(goal, uid))
                .await
                .unwrap_or(Ok(false))?
        } else {
            waiting.step(goal, uid).await?
        };
        if met {
            return Ok(());
        }
        let known_to_be_absent = waiting.looked && waiting.last.is_none();
        if known_to_be_absent && !matches!(goal, Goal::Created) {
            return Err(Refusal::not_found(format!(
                "there is no {name} to wait for; wait for its creation with --for=create, or list what there is with \
                 `quorate get {kind}`"
            ))
            .into());
        }
        if waiting.looked && Instant::now() >= deadline {
            return Err(CliError::TimedOut(format!(
                "no {} within {}: {}; `quorate describe {kind} {name}` tells more",
                goal.words(),
                age::short(limit.as_secs().try_into().unwrap_or(i64::MAX)),
                goal.present_state(waiting.last.as_ref())
            )));
        }
    }
}

struct Waiting {
    follow: Follow,
    last: Option<Value>,
    looked: bool,
}

impl Waiting {
    /// Take in one change; true when the goal is met.
    async fn step(&mut self, goal: &Goal, uid: &str) -> Result<bool, CliError> {
        match self.follow.next().await? {
            Followed::Added(object) | Followed::Modified(object) => {
                let other = !uid.is_empty() && object::text(&object, "/metadata/uid") != uid;
                let met = if matches!(goal, Goal::Deleted) {
                    other
                } else {
                    goal.is_met_by(&object)
                };
                self.last = Some(object);
                Ok(met)
            }
            Followed::Deleted(_) => {
                self.last = None;
                Ok(matches!(goal, Goal::Deleted))
            }
            Followed::Complete => {
                self.looked = true;
                Ok(matches!(goal, Goal::Deleted) && self.last.is_none())
            }
        }
    }
}

/// Why a deletion is not done yet.
pub(crate) fn waiting_for(object: &Value) -> String {
    let finalizers = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array);
    let names: Vec<_> = finalizers.into_iter().flatten().map(scalar_text).collect();
    if names.is_empty() {
        "it still exists".to_owned()
    } else {
        format!("it waits for {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn goal(text: &str) -> Goal {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn guest(generation: u64, observed: u64) -> Value {
        json!({"metadata": {"name": "web", "generation": generation}, "status": {"observedGeneration": observed, "node": "an01",
            "conditions": [{"type": "Ready", "status": "False", "reason": "NoMemory", "message": "2Gi are needed"}]}})
    }

    #[test]
    fn a_condition_is_met_when_it_has_the_status_for_this_generation() {
        assert!(goal("condition=Ready=False").is_met_by(&guest(1, 1)));
        assert!(goal("condition=ready=false").is_met_by(&guest(1, 1)));
        assert!(!goal("condition=Ready").is_met_by(&guest(1, 1)));
        assert!(!goal("condition=Ready=False").is_met_by(&guest(2, 1)));
        assert!(!goal("condition=Placed").is_met_by(&json!({})));
    }

    #[test]
    fn a_path_is_met_when_it_finds_the_value_or_anything() {
        assert!(goal("jsonpath={.status.node}=an01").is_met_by(&guest(1, 1)));
        assert!(!goal("jsonpath={.status.node}=an02").is_met_by(&guest(1, 1)));
        assert!(goal("jsonpath=.status.node").is_met_by(&guest(1, 1)));
        assert!(!goal("jsonpath={.status.absent}").is_met_by(&guest(1, 1)));
        assert!(
            goal(r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}=False"#)
                .is_met_by(&guest(1, 1))
        );
    }

    #[test]
    fn a_wrong_state_is_answered_with_the_right_ones() {
        for wrong in ["ready", "condition=", "phase=Running"] {
            assert!(
                wrong
                    .parse::<Goal>()
                    .expect_err("refused")
                    .contains("condition=Ready"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn running_out_of_time_tells_the_present_state() {
        assert_eq!(
            goal("condition=Ready").present_state(Some(&guest(1, 1))),
            "it is False now: NoMemory 2Gi are needed"
        );
        assert_eq!(
            goal("condition=Placed").present_state(Some(&guest(1, 1))),
            "it has no condition Placed yet"
        );
        assert_eq!(goal("create").present_state(None), "it does not exist");
        let held = json!({"metadata": {"finalizers": ["a", "b"]}});
        assert_eq!(
            goal("delete").present_state(Some(&held)),
            "it waits for a, b"
        );
    }
}
