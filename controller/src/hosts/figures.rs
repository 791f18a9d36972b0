use std::{collections::BTreeMap, time::Duration};

use quorate_proto::host::v1::FiguresRequest;
use tokio::time::Instant;

/// Older ones are worth nothing.
const FRESH: Duration = Duration::from_secs(60);
/// What one host may have. A host with more names its figures wrongly.
const MAX_PER_HOST: usize = 4_096;
const MAX_NAME: usize = 300;

/// A figure that a host has told lately.
#[derive(Clone, Debug, PartialEq)]
pub struct CurrentFigure {
    /// The host that told it.
    pub node: String,
    /// `Volume/data`.
    pub subject: String,
    /// `syncedPercent`.
    pub name: String,
    /// The reading.
    pub value: f64,
}

/// By subject and name, with the moments in which they came.
type Readings = BTreeMap<(String, String), (f64, Instant)>;

/// What hosts have told lately, in the leader's memory.
#[derive(Debug, Default)]
pub(super) struct Figures {
    hosts: BTreeMap<String, Readings>,
}

impl Figures {
    pub(super) fn take(&mut self, node: &str, request: FiguresRequest, now: Instant) {
        self.forget_old(now);
        let figures = self.hosts.entry(node.to_owned()).or_default();
        for figure in request.figures {
            let key = (figure.subject, figure.name);
            let room = figures.len() < MAX_PER_HOST || figures.contains_key(&key);
            if room && key.0.len() <= MAX_NAME && key.1.len() <= MAX_NAME {
                figures.insert(key, (figure.value, now));
            }
        }
    }

    pub(super) fn fresh(&mut self, now: Instant) -> Vec<CurrentFigure> {
        self.forget_old(now);
        self.hosts
            .iter()
            .flat_map(|(node, figures)| {
                figures
                    .iter()
                    .map(|((subject, name), (value, _))| CurrentFigure {
                        node: node.clone(),
                        subject: subject.clone(),
                        name: name.clone(),
                        value: *value,
                    })
            })
            .collect()
    }

    fn forget_old(&mut self, now: Instant) {
        for figures in self.hosts.values_mut() {
            figures.retain(|_, (_, at)| now.duration_since(*at) < FRESH);
        }
        self.hosts.retain(|_, figures| !figures.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::host::v1::Figure;

    use super::*;

    fn told(value: f64) -> FiguresRequest {
        FiguresRequest {
            incarnation: 1,
            figures: vec![Figure {
                subject: "Volume/data".to_owned(),
                name: "syncedPercent".to_owned(),
                value,
            }],
        }
    }

    #[test]
    fn the_newest_reading_counts_and_is_forgotten_after_a_minute() {
        let (mut figures, now) = (Figures::default(), Instant::now());
        figures.take("an1", told(3.0), now);
        figures.take("an1", told(4.0), now);
        let values: Vec<f64> = figures.fresh(now).iter().map(|it| it.value).collect();
        assert_eq!(values, [4.0]);
        assert!(figures.fresh(now + FRESH).is_empty());
    }

    #[test]
    fn a_host_cannot_fill_the_leaders_memory() {
        let (mut figures, now) = (Figures::default(), Instant::now());
        for number in 0..2 * MAX_PER_HOST {
            let mut request = told(1.0);
            request.figures[0].subject = format!("Volume/{number}");
            figures.take("an1", request, now);
        }
        assert_eq!(figures.fresh(now).len(), MAX_PER_HOST);
    }
}
