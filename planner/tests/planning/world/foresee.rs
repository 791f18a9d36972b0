//! `foresee …` in a script: what the forecast says, to be compared with what then happens.

use super::World;
use jiff::SignedDuration;
use quorate_planner::Leader;
use quorate_planner::forecast::{Forecast, Left, Pace, Supposition, forecast};

/// The world answers a second later, whatever it is.
const PACE: Pace = Pace {
    guest_start: SignedDuration::from_secs(1),
    guest_stop: SignedDuration::from_secs(1),
    storage: SignedDuration::from_secs(1),
    fence_level: SignedDuration::from_secs(1),
    resync: SignedDuration::from_secs(1),
    bytes_per_second: u64::MAX,
    fencing_works: true,
};

impl World {
    pub(super) fn foresee(&mut self, words: &[&str]) {
        let mut pace = PACE;
        let supposed = match words {
            ["nothing"] => Supposition::Nothing,
            ["fail", host] => Supposition::Fail((*host).to_owned()),
            ["fail", host, "without-fencing"] => {
                pace.fencing_works = false;
                Supposition::Fail((*host).to_owned())
            }
            ["drain", host] => Supposition::Drain((*host).to_owned()),
            ["apply", line @ ..] => {
                let mut after = World::new();
                after.command(&line.join(" "));
                Supposition::Apply(after.objects.into_values().collect())
            }
            other => panic!("no such supposition: {other:?}"),
        };
        let leader = Leader {
            now: self.now,
            term: 1,
        };
        let foreseen = forecast(self.objects.clone(), leader, &supposed, pace).expect("a forecast");
        self.transcript.extend(lines(&foreseen));
    }
}

fn lines(foreseen: &Forecast) -> Vec<String> {
    let mut lines: Vec<String> = foreseen
        .steps
        .iter()
        .map(|step| {
            let seconds = step.at.as_secs();
            format!(
                "{seconds:>+4}s {} {}: {}",
                step.name, step.reason, step.message
            )
        })
        .collect();
    for outage in &foreseen.outages {
        let until = match outage.until {
            Some(until) => format!("until {}s", until.as_secs()),
            None => "for good".to_owned(),
        };
        let from = outage.from.as_secs();
        lines.push(format!(
            "      {} is down from {from}s {until}",
            outage.guest
        ));
    }
    let left = |about: &str, left: &Left| {
        let already = if left.already { ", as before" } else { "" };
        format!(
            "      {about} {}: {}: {}{already}",
            left.name, left.reason, left.message
        )
    };
    lines.extend(foreseen.down.iter().map(|one| left("not running", one)));
    lines.extend(foreseen.degraded.iter().map(|one| left("look at", one)));
    lines.extend(foreseen.changes.iter().map(|change| {
        let (before, after) = (&change.before, &change.after);
        format!(
            "      {} {}: {before} -> {after}",
            change.name, change.field
        )
    }));
    if !foreseen.settled {
        lines.push("      it does not come to rest".to_owned());
    }
    lines
}
