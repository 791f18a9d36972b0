use super::backoff::Backoff;
use super::facts::HostReport;
use quorate_crds::NodePlanStatus;
use quorate_proto::host::v1::{RecordReport, ReportRequest};
use std::time::Duration;
use tokio::time::Instant;

/// How long changes are gathered before they are reported together.
const GATHER: Duration = Duration::from_millis(20);
/// As many records go into one report.
const MOST: usize = 200;

/// The number of a report: it rises from one to the next within a boot, also when the daemon is started again.
pub(super) fn number(since_boot: Duration) -> u64 {
    u64::try_from(since_boot.as_micros()).unwrap_or(u64::MAX)
}

/// What is said, and was said: only changes are reported, one report at a time.
#[derive(Debug)]
pub(super) struct Reporting {
    incarnation: u64,
    host: HostReport,
    /// Something else was said of the host after that, and nobody knows whether it has arrived.
    host_unsure: bool,
    generation: u64,
    /// The number of the last report.
    number: u64,
    under_way: Option<Report>,
    due: Option<Instant>,
    backoff: Backoff,
}

/// A report on its way.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) records: Vec<(String, NodePlanStatus)>,
    host: Option<HostReport>,
    generation: u64,
}

impl Reporting {
    pub(super) fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            host: HostReport::default(),
            host_unsure: false,
            generation: 0,
            number: 0,
            under_way: None,
            due: None,
            backoff: Backoff::new(Duration::from_millis(250), Duration::from_secs(5)),
        }
    }

    /// How the host is, as the cluster knows it.
    pub(super) fn host_said(&self) -> &HostReport {
        &self.host
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.under_way.is_none())
    }

    /// Whether the cluster knows everything.
    pub(super) fn silent(&self) -> bool {
        self.under_way.is_none() && self.due.is_none()
    }

    /// What to report now. `generation` is the newest plan that is acknowledged, if any is; `number` that of the report,
    /// unless a former one of this daemon has that already.
    pub(super) fn next(
        &mut self,
        now: Instant,
        mut records: Vec<(String, NodePlanStatus)>,
        host: &HostReport,
        generation: Option<u64>,
        number: u64,
    ) -> Option<ReportRequest> {
        if self.under_way.is_some() {
            return None;
        }
        let generation = generation.unwrap_or(self.generation);
        let host_news = self.host_unsure || *host != self.host;
        if records.is_empty() && !host_news && generation == self.generation {
            self.due = None;
            return None;
        }
        let due = *self.due.get_or_insert(now + GATHER);
        if now < due {
            return None;
        }
        records.truncate(MOST);
        let host = host_news.then(|| host.clone());
        self.number = number.max(self.number + 1);
        let request = ReportRequest {
            incarnation: self.incarnation,
            records: records.iter().filter_map(record).collect(),
            facts: host
                .as_ref()
                .map(HostReport::json)
                .unwrap_or_default()
                .into(),
            accepted_plan_generation: generation,
            number: self.number,
        };
        self.under_way = Some(Report {
            records,
            host,
            generation,
        });
        Some(request)
    }

    /// It has arrived: the cluster knows what is returned.
    pub(super) fn arrived(&mut self) -> Option<Report> {
        let mut report = self.under_way.take()?;
        self.backoff.reset();
        self.due = None;
        if let Some(host) = report.host.take() {
            self.host = host;
            self.host_unsure = false;
        }
        self.generation = report.generation;
        Some(report)
    }

    /// What is on its way about this record may be written over.
    pub(super) fn doubt(&mut self, record: &str) {
        if let Some(report) = &mut self.under_way {
            report.records.retain(|(name, _)| name != record);
        }
    }

    /// Nobody knows whether it has arrived: what it was about, which is said again later, however it is by then.
    pub(super) fn failed(&mut self, now: Instant) -> Vec<(String, NodePlanStatus)> {
        self.due = Some(now + self.backoff.wait());
        let report = self.under_way.take();
        self.host_unsure |= report.as_ref().is_some_and(|report| report.host.is_some());
        report.map(|report| report.records).unwrap_or_default()
    }
}

fn record((record, status): &(String, NodePlanStatus)) -> Option<RecordReport> {
    match serde_json::to_vec(status) {
        Ok(status) => Some(RecordReport {
            record: record.clone(),
            status: status.into(),
        }),
        Err(error) => {
            tracing::error!(record, %error, "what is to be said of a record cannot be written");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_crds::WatchdogStatus;

    use super::*;

    fn status(message: &str) -> NodePlanStatus {
        NodePlanStatus {
            message: Some(message.to_owned()),
            ..NodePlanStatus::default()
        }
    }

    #[test]
    fn changes_are_gathered_and_said_once() {
        let now = Instant::now();
        let mut reporting = Reporting::new(7);
        let host = HostReport::default();
        let news = vec![("an1.vm.web".to_owned(), status("starts"))];
        assert!(reporting.next(now, vec![], &host, None, 1).is_none());
        assert!(reporting.silent());

        assert!(reporting.next(now, news.clone(), &host, None, 1).is_none());
        let request = reporting.next(now + GATHER, news.clone(), &host, Some(3), 50);
        let request = request.expect("gathered");
        assert_eq!((request.incarnation, request.records.len()), (7, 1));
        assert_eq!(request.accepted_plan_generation, 3);
        assert_eq!(request.number, 50);
        let again = reporting.next(now + GATHER, news.clone(), &host, Some(3), 50);
        assert!(again.is_none(), "one at a time");

        let report = reporting.arrived().expect("it was under way");
        assert_eq!(report.records, news);
        assert!(
            reporting
                .next(now + GATHER, vec![], &host, Some(3), 1)
                .is_none()
        );
        assert!(reporting.silent());
    }

    #[test]
    fn what_was_lost_is_said_again_and_less_and_less_often() {
        let mut now = Instant::now();
        let mut reporting = Reporting::new(7);
        let host = HostReport::default();
        reporting.next(now, vec![], &host, Some(1), 1);
        let mut waits = Vec::new();
        let mut numbers = Vec::new();
        for _ in 0..7 {
            now = reporting.due().expect("something is to be said");
            let request = reporting.next(now, vec![], &host, Some(1), 1).expect("due");
            assert_eq!(request.accepted_plan_generation, 1);
            numbers.push(request.number);
            let about = reporting.failed(now);
            assert!(about.is_empty());
            waits.push(reporting.due().expect("again") - now);
        }
        assert!(
            numbers.windows(2).all(|two| two[0] < two[1]),
            "each is a report of its own, also within one moment: {numbers:?}"
        );
        assert!(waits.is_sorted() && waits[0] < waits[5], "{waits:?}");
        assert_eq!(waits[5], waits[6], "but never stops: {waits:?}");
    }

    #[test]
    fn a_host_that_is_again_as_it_was_before_a_lost_report_says_so() {
        let now = Instant::now();
        let mut reporting = Reporting::new(7);
        let well = HostReport::default();
        let mut other = HostReport::default();
        other.facts.watchdog = Some(WatchdogStatus::default());
        reporting.next(now, vec![], &other, None, 1);
        let request = reporting.next(now + GATHER, vec![], &other, None, 1);
        assert!(request.is_some());
        reporting.failed(now + GATHER);

        let due = reporting.due().expect("it is said again");
        let request = reporting.next(due, vec![], &well, None, 1);
        assert!(
            !request
                .expect("it may be known by the other words")
                .facts
                .is_empty()
        );
        reporting.arrived();
        assert!(reporting.next(due, vec![], &well, None, 1).is_none());
    }

    #[test]
    fn words_that_may_be_written_over_on_their_way_do_not_count_as_said() {
        let now = Instant::now();
        let mut reporting = Reporting::new(7);
        let host = HostReport::default();
        let news = ["an1.volume.data", "an1.vm.web"].map(|it| (it.to_owned(), status("runs")));
        reporting.next(now, news.to_vec(), &host, None, 1);
        let request = reporting.next(now + GATHER, news.to_vec(), &host, None, 1);
        assert!(request.is_some());
        reporting.doubt("an1.volume.data");
        let report = reporting.arrived().expect("it was under way");
        assert_eq!(report.records, news[1..]);
    }

    #[test]
    fn a_large_report_goes_in_parts() {
        let now = Instant::now();
        let mut reporting = Reporting::new(7);
        let host = HostReport::default();
        let records: Vec<_> = (0..2 * MOST)
            .map(|number| (format!("an1.vm.{number}"), status("starts")))
            .collect();
        reporting.next(now, records.clone(), &host, None, 1);
        let request = reporting.next(now + GATHER, records, &host, None, 1);
        assert_eq!(request.expect("due").records.len(), MOST);
    }
}
