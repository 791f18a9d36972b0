//! Whose turn it is: a change that could cut a host off is made on one host after the other, and on the next one only when
//! the former is well. Taking a network away is such a change, too.
//!
//! There is one turn in the whole cluster, and not one per network: two hosts of which each has another network on trial
//! could be left without a common one.

use crate::rights::{Answer, Host, Presence, answer, observed};
use crate::round::Round;
use crate::state::Record;
use quorate_crds::{Assignment, LinkState, NodeMode};
use std::collections::{BTreeMap, BTreeSet};

/// What a network is to be on a host.
pub(super) struct Wish<'r> {
    pub(super) network: &'r str,
    /// How many networks lie below it.
    pub(super) depth: usize,
    pub(super) host: &'r Host<'r>,
    pub(super) record: Option<&'r Record>,
    pub(super) wanted: Wanted,
}

/// What is wanted of it there.
pub(super) enum Wanted {
    /// To be so.
    So(Box<Assignment>),
    /// To be no more; not before what is named has changed, if anything is.
    Gone(Option<String>),
}

/// What comes of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may be so at once: nothing is cut by it.
    Free,
    /// It is this host's turn.
    Next,
    /// Something else comes before.
    Waits(String),
}

/// How far what is written is from what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The network is not there yet, or does not work: there is nothing to be cut off from.
    Fresh,
    /// As far as it matters it is what is wanted.
    Same,
    /// It works, and becomes another one, or none.
    Changed,
    /// The host was told to take it away, and has not said that it did.
    Going,
}

impl Wish<'_> {
    /// Whether its host keeps what it has, whatever is wanted.
    pub(super) fn is_left_alone(&self) -> bool {
        self.host.mode == NodeMode::Maintenance || !self.host.online()
    }

    fn standing(&self, round: &Round<'_>) -> Standing {
        let written = self
            .record
            .and_then(|record| record.spec.assignment.as_ref());
        let Wanted::So(wanted) = &self.wanted else {
            return match written {
                Some(written) if !written.active => Standing::Going,
                _ if self.state(round) == Some(LinkState::Down) => Standing::Fresh,
                _ => Standing::Changed,
            };
        };
        let Some(written) = written.filter(|written| written.active) else {
            return Standing::Fresh;
        };
        let (Some(old), Some(new)) = (&written.network, &wanted.network) else {
            return Standing::Fresh;
        };
        let same = match &old.layout {
            // Written by a release that did not say it, and that had no firewall either.
            None => written.object_generation == wanted.object_generation && new.firewall.is_none(),
            layout => *layout == new.layout,
        };
        if same && (&old.device, &old.address, &old.nics) == (&new.device, &new.address, &new.nics)
        {
            Standing::Same
        } else if self.state(round) == Some(LinkState::Down) {
            Standing::Fresh
        } else {
            Standing::Changed
        }
    }

    fn state(&self, round: &Round<'_>) -> Option<LinkState> {
        let seen = observed(&round.hosts, self.record?)?;
        seen.network.as_ref()?.state
    }

    /// Whether its host is at work on what is written.
    fn open(&self) -> bool {
        let answer = self.record.map(answer);
        matches!(answer, None | Some(Answer::Nothing | Answer::Working))
    }

    /// Whether its host has nothing under way, and waits for its turn itself.
    fn waits_for_a_plan(&self) -> bool {
        let status = self.record.and_then(|record| record.status.as_ref());
        let mut conditions = status.iter().flat_map(|status| &status.conditions);
        self.record.map(answer) == Some(Answer::Working)
            && conditions.any(|one| one.type_ == "Converged" && one.reason == "Outdated")
    }

    /// Whether it is there, and is to be taken away.
    fn leaves(&self) -> bool {
        let active = self.record.is_some_and(|record| record.active);
        matches!(self.wanted, Wanted::Gone(_)) && active
    }

    /// Whether the host has looked at it, and nothing of it is there.
    fn is_refused_or_waits(&self, round: &Round<'_>) -> bool {
        let answer = self.record.map(answer);
        matches!(self.wanted, Wanted::So(_))
            && matches!(answer, Some(Answer::Working | Answer::Ended(..)))
            && self.state(round).is_none()
    }

    /// Why its host does not do what it was told, if it says so.
    pub(super) fn refusal(&self) -> Option<String> {
        let record = self.record.filter(|record| !record.active)?;
        match answer(record) {
            Answer::Ended(_, why) => Some(why),
            _ => None,
        }
    }

    /// Why it must stay for now, whoever's turn it is.
    pub(super) fn held(&self) -> Option<&String> {
        match &self.wanted {
            Wanted::Gone(held) => held.as_ref(),
            Wanted::So(_) => None,
        }
    }

    /// Why the next host must wait for this one, if it must.
    fn trouble(&self, round: &Round<'_>) -> Option<String> {
        let (network, host) = (self.network, self.host.name);
        match (self.host.presence, self.record.map(answer)?) {
            (Presence::Silent, _) => Some(format!("{host} is silent")),
            (Presence::Online, Answer::Nothing | Answer::Working) => {
                Some(format!("{host} is at work on {network}"))
            }
            (Presence::Online, Answer::Ended(_, why)) => {
                Some(format!("{network} is not as it should be on {host}: {why}"))
            }
            (Presence::Online, _) if self.state(round) == Some(LinkState::Down) => {
                Some(format!("{network} does not work on {host}"))
            }
            (Presence::Online, _) | (_, Answer::Converged) => None,
            (Presence::Fenced | Presence::Away, _) => Some(format!(
                "{host} went away while it was at work on {network}"
            )),
        }
    }
}

fn unreached(round: &Round<'_>) -> Option<String> {
    let status = round.state.cluster.as_ref()?.status.as_ref()?;
    let mut members = status.members.iter();
    let member = members.find(|member| member.reachable == Some(false))?;
    Some(format!("the member {} is not reached", member.name))
}

/// Whose turn it is, in the order of the wishes.
pub(super) fn give(round: &Round<'_>, wishes: &[Wish<'_>]) -> Vec<Turn> {
    let standings: Vec<Standing> = wishes.iter().map(|wish| wish.standing(round)).collect();
    let counts = |wish: &Wish<'_>| wish.host.mode != NodeMode::Maintenance;
    // Whatever is written and wanted, and not well.
    let mut of_network: BTreeMap<&str, String> = BTreeMap::new();
    let mut of_host: BTreeMap<&str, Vec<(&str, String)>> = BTreeMap::new();
    let mut at_work: Vec<(usize, String)> = Vec::new();
    let leaves = wishes.iter().filter(|wish| wish.leaves());
    let leaves: BTreeSet<&str> = leaves.map(|wish| wish.host.name).collect();
    for (at, (wish, standing)) in wishes.iter().zip(&standings).enumerate() {
        if *standing == Standing::Fresh || !counts(wish) {
            continue;
        }
        // What is to go may have the card that it waits for.
        if leaves.contains(wish.host.name) && wish.is_refused_or_waits(round) {
            continue;
        }
        if let Some(trouble) = wish.trouble(round) {
            // Whoever went away in the middle goes on when it is back, also with what is wanted no more by then.
            let waits = *standing == Standing::Changed && wish.waits_for_a_plan();
            if wish.open() && !waits || !wish.host.online() {
                at_work.push((at, trouble.clone()));
            }
            if *standing == Standing::Changed {
                continue;
            }
            let here = of_host.entry(wish.host.name).or_default();
            here.push((wish.network, trouble.clone()));
            of_network.entry(wish.network).or_insert(trouble);
        }
    }
    let silent = round
        .hosts
        .values()
        .find(|host| host.presence == Presence::Silent);
    let silent = silent
        .map(|host| format!("{} is silent", host.name))
        // The next host may be the one whose vote is needed.
        .or_else(|| unreached(round));
    let mut order: Vec<usize> = (0..wishes.len())
        .filter(|at| standings[*at] == Standing::Changed)
        // Who is not there, or is left alone, has no turn, and nobody waits for it.
        .filter(|at| wishes[*at].host.online() && counts(&wishes[*at]))
        .filter(|at| wishes[*at].held().is_none())
        .collect();
    // A host in the middle of a change, or whose change failed, is corrected before another one is touched.
    order.sort_by_key(|at| {
        let wish = &wishes[*at];
        let begun = wish.record.map(answer) != Some(Answer::Converged);
        // What takes the place of something comes before that is taken away.
        let last = wish.leaves();
        (!begun, last, wish.depth, wish.network, wish.host.name)
    });
    let mut turns: Vec<Turn> = wishes
        .iter()
        .map(|wish| match wish.held().filter(|_| wish.leaves()) {
            Some(held) => Turn::Waits(held.clone()),
            None => Turn::Free,
        })
        .collect();
    let mut next: Option<String> = None;
    for at in order {
        let wish = &wishes[at];
        let elsewhere = || {
            let here = of_host.get(wish.host.name)?;
            let other = here.iter().find(|(network, _)| *network != wish.network);
            other.map(|(_, trouble)| trouble.clone())
        };
        let before = silent
            .clone()
            .or_else(|| next.clone())
            .or_else(|| {
                let other = at_work.iter().find(|(other, _)| *other != at);
                other.map(|(_, trouble)| trouble.clone())
            })
            .or_else(|| of_network.get(wish.network).cloned())
            .or_else(elsewhere);
        turns[at] = match before {
            Some(before) => Turn::Waits(before),
            None => {
                next = Some(format!("{} is at work on {}", wish.host.name, wish.network));
                Turn::Next
            }
        };
    }
    turns
}
