//! The arithmetic of a pool's space (R9, STO-11): is there room for one volume more?

use std::collections::BTreeSet;

use super::amounts::words;

/// A host's part of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) host: String,
    /// What it has; none when the host has not told, so that anything may fit.
    pub(super) capacity: Option<u64>,
    pub(super) promised: u64,
}

/// A pool, and what of it is promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) parts: Vec<Part>,
    /// Space on every host that no volume gets.
    pub(super) reserve: u64,
    /// How much may be promised of what there is.
    pub(super) percent: u64,
}

/// A new volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) size: u64,
    pub(super) replicas: usize,
    /// The hosts that may keep it; none listed: any.
    pub(super) hosts: BTreeSet<String>,
}

impl Pool {
    /// Promises the space of a new volume, on the hosts that have most, or says why it is not there.
    pub(super) fn promise(&mut self, wanted: &Wanted) -> Result<(), String> {
        let any = wanted.hosts.is_empty();
        let mut may: Vec<usize> = (0..self.parts.len())
            .filter(|part| any || wanted.hosts.contains(&self.parts[*part].host))
            .collect();
        may.sort_by_key(|part| std::cmp::Reverse(self.free(&self.parts[*part])));
        let fit = may
            .iter()
            .filter(|part| self.free(&self.parts[**part]) >= wanted.size);
        let fit: Vec<usize> = fit.copied().take(wanted.replicas).collect();
        if fit.len() < wanted.replicas {
            // The host that gives the last replica its place is the one that decides.
            let most = may
                .get(wanted.replicas.saturating_sub(1))
                .map_or(0, |part| self.free(&self.parts[*part]));
            let parts: Vec<&Part> = may.iter().map(|part| &self.parts[*part]).collect();
            let hosts = match wanted.replicas {
                1 => "on one host".to_owned(),
                several => format!("on each of {several} hosts"),
            };
            return Err(self.refusal(wanted.size, most, &hosts, &parts));
        }
        for part in fit {
            self.parts[part].promised += wanted.size;
        }
        Ok(())
    }

    /// Promises more of it to a volume that is kept on `hosts` already.
    pub(super) fn grow(
        &mut self,
        (before, size): (u64, u64),
        hosts: &BTreeSet<String>,
    ) -> Result<(), String> {
        let more = size.saturating_sub(before);
        let parts = self.parts.iter().filter(|part| hosts.contains(&part.host));
        let parts: Vec<&Part> = parts.collect();
        let least = parts.iter().map(|part| self.free(part)).min();
        if let Some(least) = least.filter(|least| *least < more) {
            let allowed = before.saturating_add(least);
            let where_ = format!("where it is kept with {}", words(before));
            return Err(self.refusal(size, allowed, &where_, &parts));
        }
        for part in &mut self.parts {
            if hosts.contains(&part.host) {
                part.promised += more;
            }
        }
        Ok(())
    }

    fn free(&self, part: &Part) -> u64 {
        part.capacity.map_or(u64::MAX, |capacity| {
            self.promisable(capacity)
                .saturating_sub(self.reserve)
                .saturating_sub(part.promised)
        })
    }

    fn promisable(&self, capacity: u64) -> u64 {
        let promisable = u128::from(capacity) * u128::from(self.percent) / 100;
        u64::try_from(promisable).unwrap_or(u64::MAX)
    }

    fn refusal(&self, found: u64, allowed: u64, where_: &str, parts: &[&Part]) -> String {
        let each: Vec<String> = parts.iter().map(|part| self.arithmetic(part)).collect();
        let each = match each.is_empty() {
            true => "no host that may keep it has a part of it".to_owned(),
            false => each.join("; "),
        };
        format!(
            "found {}, allowed: at most {} {where_} of pool {}: {each}",
            words(found),
            words(allowed),
            self.name
        )
    }

    fn arithmetic(&self, part: &Part) -> String {
        let Some(capacity) = part.capacity else {
            return format!("{} has not told what it has", part.host);
        };
        let mut text = format!("{} has {}", part.host, words(capacity));
        if self.percent != 100 {
            text.push_str(&format!(
                ", {} % of which may be promised: {}",
                self.percent,
                words(self.promisable(capacity))
            ));
        }
        if self.reserve > 0 {
            text.push_str(&format!(", less {} in reserve", words(self.reserve)));
        }
        text.push_str(&format!(
            ", less {} promised, leaves {}",
            words(part.promised),
            words(self.free(part))
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn pool() -> Pool {
        let part = |host: &str, promised: u64| Part {
            host: host.into(),
            capacity: Some(100 * GIB),
            promised: promised * GIB,
        };
        Pool {
            name: "fast".into(),
            parts: vec![part("an1", 40), part("an2", 70), part("an3", 0)],
            reserve: 10 * GIB,
            percent: 100,
        }
    }

    fn wanted(gib: u64, replicas: usize, hosts: &[&str]) -> Wanted {
        Wanted {
            size: gib * GIB,
            replicas,
            hosts: hosts.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn every_replica_needs_a_host_with_space_and_the_arithmetic_is_shown() {
        let text = pool()
            .promise(&wanted(60, 2, &[]))
            .expect_err("on one host only");
        assert_eq!(
            text,
            "found 60 GiB, allowed: at most 50 GiB on each of 2 hosts of pool fast: an3 has 100 GiB, less 10 GiB in \
             reserve, less 0 B promised, leaves 90 GiB; an1 has 100 GiB, less 10 GiB in reserve, less 40 GiB promised, \
             leaves 50 GiB; an2 has 100 GiB, less 10 GiB in reserve, less 70 GiB promised, leaves 20 GiB"
        );
        pool().promise(&wanted(50, 2, &[])).expect("room");
        pool()
            .promise(&wanted(50, 2, &["an1", "an2"]))
            .expect_err("not on those");
    }

    #[test]
    fn what_was_promised_is_gone_for_the_next_one() {
        let mut pool = pool();
        pool.promise(&wanted(50, 2, &[])).expect("room");
        pool.promise(&wanted(30, 2, &[])).expect_err("taken");
    }

    #[test]
    fn a_volume_grows_by_what_all_its_hosts_have_left() {
        let hosts: BTreeSet<String> = ["an1".to_owned(), "an2".to_owned()].into();
        let text = pool()
            .grow((40 * GIB, 70 * GIB), &hosts)
            .expect_err("an2 has 20");
        assert!(
            text.starts_with(
                "found 70 GiB, allowed: at most 60 GiB where it is kept with 40 GiB of pool fast:"
            ),
            "{text}"
        );
        pool().grow((40 * GIB, 60 * GIB), &hosts).expect("room");
    }

    #[test]
    fn a_pool_that_may_promise_more_than_it_has_says_how_much() {
        let mut thin = pool();
        thin.percent = 150;
        thin.promise(&wanted(90, 2, &[])).expect("promised");
        let text = thin.promise(&wanted(90, 2, &[])).expect_err("too much");
        assert!(
            text.contains("an2 has 100 GiB, 150 % of which may be promised: 150 GiB"),
            "{text}"
        );
    }

    #[test]
    fn a_host_that_has_not_told_may_have_room() {
        let mut pool = pool();
        pool.parts[1].capacity = None;
        pool.promise(&wanted(90, 2, &[])).expect("maybe");
    }
}
