use quorate_proto::host::v1::MemberAddress;
use std::collections::{BTreeMap, BTreeSet};
use tonic::transport::Channel;

/// The members that are known, and the connections that are open to them.
pub(super) struct Members {
    /// Per member its addresses, one per ring.
    members: Vec<Vec<String>>,
    /// Where the last answer came from.
    preferred: Option<String>,
    open: BTreeMap<String, Channel>,
}

impl Members {
    pub(super) fn new(endpoints: &[String]) -> Self {
        Self {
            members: endpoints
                .iter()
                .map(|endpoint| vec![endpoint.clone()])
                .collect(),
            preferred: None,
            open: BTreeMap::new(),
        }
    }

    /// The cluster says which there are. An empty list is no list: it would leave this host alone for ever.
    pub(super) fn are(&mut self, members: &[MemberAddress]) {
        if members.is_empty() {
            return;
        }
        self.members = members
            .iter()
            .map(|member| member.addresses.clone())
            .collect();
        let known = self.in_order();
        self.open.retain(|address, _| known.contains(address));
    }

    /// Every member's addresses, the preferred ring first.
    pub(super) fn each(&self) -> BTreeSet<Vec<String>> {
        self.members.iter().cloned().collect()
    }

    /// The addresses in the order in which they are tried: the last that answered, then every member on the first ring
    /// before any on the second.
    pub(super) fn in_order(&self) -> Vec<String> {
        let rings = self.members.iter().map(Vec::len).max().unwrap_or(0);
        let by_ring = (0..rings).flat_map(|ring| {
            self.members
                .iter()
                .filter_map(move |addresses| addresses.get(ring))
        });
        let mut order: Vec<String> = Vec::new();
        for address in self.preferred.iter().chain(by_ring) {
            if !address.is_empty() && !order.contains(address) {
                order.push(address.clone());
            }
        }
        order
    }

    pub(super) fn open(&self, address: &str) -> Option<Channel> {
        self.open.get(address).cloned()
    }

    pub(super) fn opened(&mut self, address: &str, channel: Channel) {
        self.open.insert(address.to_owned(), channel);
    }

    pub(super) fn broken(&mut self, address: &str) {
        self.open.remove(address);
        self.preferred.take_if(|preferred| preferred == address);
    }

    pub(super) fn forget_connections(&mut self) {
        self.open.clear();
    }

    pub(super) fn prefer(&mut self, address: &str) {
        if self.preferred.as_deref() != Some(address) {
            self.preferred = Some(address.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, addresses: &[&str]) -> MemberAddress {
        MemberAddress {
            id: 0,
            name: name.to_owned(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn who_answered_last_is_asked_first_and_then_all_on_the_first_ring_before_the_second() {
        let mut members = Members::new(&["a:1".to_owned()]);
        assert_eq!(members.in_order(), ["a:1"]);
        members.are(&[
            member("a", &["a:1", "a:2"]),
            member("b", &["b:1", "", "b:3"]),
        ]);
        assert_eq!(members.in_order(), ["a:1", "b:1", "a:2", "b:3"]);
        members.prefer("a:2");
        assert_eq!(members.in_order(), ["a:2", "a:1", "b:1", "b:3"]);
        members.broken("a:2");
        assert_eq!(members.in_order(), ["a:1", "b:1", "a:2", "b:3"]);
        members.are(&[]);
        assert_eq!(members.in_order().len(), 4, "nobody is no list of members");
    }
}
