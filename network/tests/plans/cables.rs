//! What is plugged into the cards, and whether the leader can be reached over it.

use quorate_network::model::{Address, Host, Kind, Link};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// By card: on which tags (none: untagged) which addresses of the leader answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cables(pub(crate) BTreeMap<String, BTreeSet<(Option<u16>, IpAddr)>>);

impl Cables {
    /// Whether the leader can be reached.
    pub(crate) fn reach_leader(&self, host: &Host) -> bool {
        host.links.iter().any(|(name, link)| {
            link.up
                && link.master.is_none()
                && link
                    .addresses
                    .iter()
                    .any(|own| self.answers(host, name, link, own))
        })
    }

    fn answers(&self, host: &Host, name: &str, link: &Link, own: &Address) -> bool {
        let mut heard = BTreeSet::new();
        self.heard(host, name, link, None, &mut heard);
        heard.iter().any(|leader| own.reaches(*leader))
    }

    fn heard(
        &self,
        host: &Host,
        name: &str,
        link: &Link,
        tag: Option<u16>,
        heard: &mut BTreeSet<IpAddr>,
    ) {
        if !link.up {
            return;
        }
        match &link.kind {
            Kind::Physical | Kind::Other(_) => {
                let answering = self.0.get(name).into_iter().flatten();
                let on_tag = answering.filter(|(on, _)| *on == tag);
                heard.extend(on_tag.map(|(_, leader)| *leader));
            }
            Kind::Vlan { parent, id } => {
                let Some(below) = host.links.get(parent) else {
                    return;
                };
                // What a bond's member receives, the bond takes.
                let in_bond = below.master.as_ref().is_some_and(|master| {
                    matches!(
                        host.links.get(master).map(|it| &it.kind),
                        Some(Kind::Bond(_))
                    )
                });
                if tag.is_none() && !in_bond {
                    self.heard(host, parent, below, Some(*id), heard);
                }
            }
            Kind::Bond(_) | Kind::Bridge(_) => {
                for (member, below) in host.members(name) {
                    self.heard(host, member, below, tag, heard);
                }
            }
        }
    }
}
