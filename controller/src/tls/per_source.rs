use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Counts what each source has under way, so that one source cannot take everything.
#[derive(Debug)]
pub(super) struct PerSource {
    limit: usize,
    all: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    sources: HashMap<IpAddr, usize>,
}

/// One unit of a source's share, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: Arc<PerSource>,
    source: IpAddr,
}

impl PerSource {
    /// Bounded per source only.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Self::bounded(limit, usize::MAX)
    }

    /// Bounded per source, and by `all` for all of them together.
    pub(super) fn bounded(limit: usize, all: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            all,
            counts: Mutex::default(),
        })
    }

    /// A share for `source`, unless it has its fill.
    pub(super) fn take(self: &Arc<Self>, source: IpAddr) -> Option<Share> {
        let source = network(source);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.all {
            return None;
        }
        let count = counts.sources.entry(source).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        counts.all += 1;
        drop(counts);
        Some(Share {
            of: self.clone(),
            source,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self
            .of
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(count) = counts.sources.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.sources.remove(&self.source);
            }
        }
    }
}

/// What counts as one source: an IPv4 address, or a whole IPv6 /64, in which anybody may take any address.
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_has_its_fill_waits_and_others_do_not() {
        let shares = PerSource::new(2);
        let greedy: IpAddr = "2001:db8::1".parse().expect("an address");
        let neighbour: IpAddr = "2001:db8::2".parse().expect("an address");
        let other: IpAddr = "10.0.0.1".parse().expect("an address");

        let first = shares.take(greedy).expect("a share");
        let _second = shares.take(neighbour).expect("a share of the same /64");
        assert!(shares.take(greedy).is_none());
        assert!(shares.take(other).is_some());

        drop(first);
        assert!(shares.take(greedy).is_some());
    }

    #[test]
    fn all_sources_together_have_a_bound_too() {
        let shares = PerSource::bounded(2, 1);
        let first = shares.take("10.0.0.1".parse().expect("an address"));
        assert!(first.is_some());
        let other: IpAddr = "10.0.0.2".parse().expect("an address");
        assert!(shares.take(other).is_none());
        drop(first);
        assert!(shares.take(other).is_some());
    }
}
