//! What would happen if: the planner itself, run on a copy of the state, against hosts that do what
//! they are told.
//!
//! Nothing here decides anything. A trial plans, commits the decisions to its copy, lets its hosts
//! answer after a nominal time and plans again, until nothing is left to do. So a forecast cannot
//! differ from what a leader would do, except where the world differs from the hosts of the trial.

mod fencing;
mod guests;
mod hosts;
mod outlook;
mod pace;
mod replicas;
mod trial;

pub use outlook::{Change, Left, Outage};
pub use pace::Pace;

use crate::{Leader, Objects, StateError};
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::Value;
use trial::Trial;

/// What is supposed.
#[derive(Clone, Debug, PartialEq)]
pub enum Supposition {
    /// Nothing: only what is under way already is brought to its end.
    Nothing,
    /// These objects are written, each in place of the one of the same name.
    Apply(Vec<Value>),
    /// This host loses power and all networks at once, and stays away.
    Fail(String),
    /// This host is drained.
    Drain(String),
}

/// One thing that would happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When, counted from the supposition.
    #[serde(serialize_with = "seconds")]
    pub at: SignedDuration,
    /// The kind of what it happens to.
    pub kind: String,
    /// The name.
    pub name: String,
    /// What happens, as one word.
    pub reason: String,
    /// What happens and why, for people.
    pub message: String,
}

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// In order.
    pub steps: Vec<Step>,
    /// Guests that are wanted and would not run at the end, and why.
    pub down: Vec<Left>,
    /// Hosts and volumes that would need attention at the end, and why.
    pub degraded: Vec<Left>,
    /// Guests that would not run for a while.
    pub outages: Vec<Outage>,
    /// What would be different at the end.
    pub changes: Vec<Change>,
    /// When the last thing happens.
    #[serde(serialize_with = "seconds")]
    pub took: SignedDuration,
    /// Whether everything came to rest within the time that is looked ahead.
    pub settled: bool,
}

/// Why there is no forecast.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// The host that is supposed to fail, or to be drained, does not exist.
    #[error("there is no host {name:?}; the hosts are {known}")]
    NoSuchHost {
        /// The name.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// An object cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Runs the planner on a copy of `objects` from now on, as if `supposition` had just become true.
///
/// # Errors
/// When the supposition names a host that does not exist, or an object is not what its kind says.
pub fn forecast(
    objects: Objects,
    leader: Leader,
    supposition: &Supposition,
    pace: Pace,
) -> Result<Forecast, ForecastError> {
    let mut trial = Trial::of(objects, leader, pace)?;
    match supposition {
        Supposition::Nothing => {}
        Supposition::Apply(objects) => {
            for object in objects {
                trial.put(object.clone())?;
            }
        }
        Supposition::Fail(host) => {
            known(&trial, host)?;
            trial.lose(host)?;
        }
        Supposition::Drain(host) => {
            known(&trial, host)?;
            trial.drain(host)?;
        }
    }
    trial.settle()?;
    Ok(trial.outlook())
}

fn known(trial: &Trial, host: &str) -> Result<(), ForecastError> {
    if trial.object("Node", host).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = trial.names_of("Node").collect();
    Err(ForecastError::NoSuchHost {
        name: host.to_owned(),
        known: known.join(", "),
    })
}

fn seconds<S: serde::Serializer>(span: &SignedDuration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(span.as_millis_f64() / 1000.0)
}
