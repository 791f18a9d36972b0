//! A leader that does not hear most hosts, while another member does, gives them no leases: nothing can start there.
//! It lets a member lead that hears more of them.

use std::time::Duration;

use quorate_proto::member::v1::Heard;
use quorate_store::MemberId;
use tokio::time::Instant;

/// So many detection times a leader is deaf before it gives up: what passes by itself is not worth an election.
const PATIENCE: u32 = 3;
/// So long it leads at least. Whoever leads next hears more, so that leadership does not wander to and fro; this bounds
/// it even where the networks come and go.
const LEADS_AT_LEAST: Duration = Duration::from_secs(30);

/// How long this leader has been deaf.
pub(super) struct Deafness {
    leads_since: Instant,
    since: Option<Instant>,
}

impl Deafness {
    pub(super) fn of_a_leader_since(now: Instant) -> Self {
        Self {
            leads_since: now,
            since: None,
        }
    }

    /// Whether it is time to look for another leader. Once it was, as much patience is needed again.
    pub(super) fn is_unbearable(&mut self, deaf: bool, timeout: Duration, now: Instant) -> bool {
        if !deaf {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let long = now.duration_since(since) >= timeout * PATIENCE;
        let due = long && now.duration_since(self.leads_since) >= LEADS_AT_LEAST;
        if due {
            self.since = Some(now);
        }
        due
    }
}

/// The member that hears the most of the hosts, if it hears more of them than the leader does.
pub(super) fn better_ears(
    own: &[Heard],
    others: &[(MemberId, Vec<Heard>)],
    timeout: Duration,
) -> Option<MemberId> {
    let count = |heard: &[Heard]| {
        let fresh = |one: &&Heard| one.known && u128::from(one.silent_ms) < timeout.as_millis();
        heard.iter().filter(fresh).count()
    };
    let most = others
        .iter()
        .map(|(member, heard)| (count(heard), std::cmp::Reverse(*member)))
        .max()?;
    let (heard, std::cmp::Reverse(member)) = most;
    (heard > count(own)).then_some(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn heard(silences: &[Option<u64>]) -> Vec<Heard> {
        let one = |silent: &Option<u64>| Heard {
            known: silent.is_some(),
            silent_ms: silent.unwrap_or(u64::MAX),
            ..Heard::default()
        };
        silences.iter().map(one).collect()
    }

    #[test]
    fn leadership_goes_only_to_a_member_that_hears_more() {
        let own = heard(&[Some(100), None, None]);
        let same = (2, heard(&[None, Some(100), Some(5_000)]));
        assert_eq!(
            better_ears(&own, std::slice::from_ref(&same), TIMEOUT),
            None
        );
        let more = (3, heard(&[None, Some(100), Some(300)]));
        let as_many = (4, heard(&[Some(1), Some(100), None]));
        assert_eq!(better_ears(&own, &[same, as_many, more], TIMEOUT), Some(3));
    }

    #[test]
    fn what_passes_is_borne_and_a_new_leader_waits_longer() {
        let start = Instant::now();
        let mut deafness = Deafness::of_a_leader_since(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!deafness.is_unbearable(true, TIMEOUT, at(1)));
        assert!(
            !deafness.is_unbearable(true, TIMEOUT, at(20)),
            "it has just been elected"
        );
        assert!(!deafness.is_unbearable(false, TIMEOUT, at(30)));
        assert!(!deafness.is_unbearable(true, TIMEOUT, at(31)));
        assert!(deafness.is_unbearable(true, TIMEOUT, at(37)));
        assert!(
            !deafness.is_unbearable(true, TIMEOUT, at(38)),
            "it was asked for just now"
        );
    }
}
