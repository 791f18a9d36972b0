//! Guests that are to leave their host although they run well: because it is emptied, because it is
//! cut off from a network of theirs, or because a better one is back.
//!
//! Whatever can be moved while it runs is moved by a VirtualMachineMigration like any other, so that
//! people see it, and can cancel it. What cannot is stopped and started elsewhere, and only when its
//! host is to be emptied.

use super::migration::fixed;
use super::{Guest, Work, why};
use crate::filesystems;
use crate::networks;
use crate::placement::{self, Liking, Wish};
use crate::records::shortened;
use crate::volumes::Asking;
use crate::{Reason, Why};
use quorate_crds::VirtualMachine;
use serde_json::json;

/// From this on, nothing but its host's loss, or a better host of a domain with failback, moves it.
const GLUED: u32 = 100_000;

/// The longest reason that a migration may give.
const LONGEST_REASON: usize = 1000;

impl<'a> Work<'_, 'a> {
    /// Has a migration made when the guest should be elsewhere. Says why it is to be stopped, when
    /// it cannot be moved while it runs and may not stay.
    pub(super) fn sent_away(&mut self, (name, guest): Guest<'a>, host: &'a str) -> Option<Why> {
        let round = self.round;
        let wanted = self.wanted((name, guest), host)?;
        // What only could be better elsewhere is no trouble when it stays.
        let must = matches!(wanted.reason, Reason::Drained | Reason::CutOff);
        // What is on its way counts on two hosts. To judge by that would move too many, and some back.
        if wanted.reason == Reason::Rebalanced && !self.traffic.rests() {
            return None;
        }
        if let Some(until) = self.traffic.paused_until(name, round.now) {
            self.outcome.wake(until);
            let text = format!("{}; its last migration came to nothing", wanted.message);
            self.stays(name, must, why(Reason::MigrationWaits, &text));
            return None;
        }
        let wish = Wish {
            keep_reserve: !must,
            asking: Asking::coming_from(Some(host)),
            ..Wish::default()
        };
        let chosen = match placement::choose(round, &self.ledger, (name, guest), wish) {
            Ok(chosen) => chosen,
            // Nobody said that one of them would suit it more.
            Err(_) if wanted.reason == Reason::Rebalanced => return None,
            Err(obstacles) => {
                let text = format!("{}: {}", wanted.message, obstacles.join("; "));
                self.stays(name, must, why(Reason::CannotMove, &text));
                return None;
            }
        };
        let target = chosen.host;
        if wanted.reason == Reason::FailedBack && !better(self, guest, target, host) {
            return None;
        }
        let liking = |host| Liking::of(round, &self.ledger, (name, guest), host);
        let (there, here) = (liking(target), liking(host));
        let sticks = i64::from(guest.spec.placement.stickiness);
        if wanted.reason == Reason::Rebalanced && there.over(here) <= sticks {
            return None;
        }
        if let Some(obstacle) = fixed(guest) {
            if wanted.reason == Reason::Drained {
                self.ledger.promise(target, name, guest);
                let text = format!("{}, and it cannot be moved: {obstacle}", wanted.message);
                return Some(why(Reason::Drained, &text));
            }
            if must {
                let text = format!("{}, and it cannot be moved: {obstacle}", wanted.message);
                self.stays(name, must, why(Reason::CannotMove, &text));
            }
            return None;
        }
        let most = round.settings.recovery.max_migrations_per_node;
        if self.traffic.busy(host) >= most || self.traffic.busy(target) >= most {
            let text = format!("{}; it waits for its turn", wanted.message);
            self.stays(name, false, why(Reason::MigrationWaits, &text));
            return None;
        }
        let chosen = match wanted.reason {
            Reason::Rebalanced => {
                let because = there.because(here, round, guest, (target, host));
                format!("{target}: {because}")
            }
            _ => chosen.words(round, &self.ledger),
        };
        let text = format!("{}: {}; {chosen}", wanted.reason, wanted.message);
        let text: String = text.chars().take(LONGEST_REASON).collect();
        self.traffic.occupy([host, target]);
        self.ledger.promise(target, name, guest);
        self.outcome.decisions.create.push(json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "VirtualMachineMigration",
            "metadata": {"name": self.free_name(name)},
            "spec": {
                "virtualMachine": name, "target": target,
                "reason": text,
            },
        }));
        None
    }

    /// Why it is to be stopped, when a filesystem with disks of it has shut itself down on its host, and another host can
    /// take it. What it writes here fails, so that it cannot be moved while it runs.
    pub(super) fn unserved(&mut self, (name, guest): Guest<'a>, host: &'a str) -> Option<Why> {
        let round = self.round;
        let filesystem = filesystems::withdrawn(round, guest, host)?;
        let text = format!("filesystem {filesystem} has shut itself down on {host}");
        let wish = Wish {
            asking: Asking::coming_from(Some(host)),
            ..Wish::default()
        };
        match placement::choose(round, &self.ledger, (name, guest), wish) {
            Ok(chosen) => {
                self.ledger.promise(chosen.host, name, guest);
                Some(why(Reason::FilesystemWithdrawn, &text))
            }
            Err(obstacles) => {
                let text = format!("{text}: {}", obstacles.join("; "));
                self.stays(name, true, why(Reason::CannotMove, &text));
                None
            }
        }
    }

    /// It stays where it is for now. Whether that is trouble, people must be told.
    fn stays(&mut self, name: &'a str, trouble: bool, why: Why) {
        let kind = "VirtualMachine";
        self.outcome.why(kind, name, why.reason, &why.message);
        if trouble {
            self.outcome.stuck.insert(name.to_owned(), why);
        }
    }

    /// Why it should be elsewhere, as far as that can be told without looking for a place.
    fn wanted(&self, (_, guest): Guest<'a>, host: &str) -> Option<Why> {
        let round = self.round;
        let here = round.hosts.get(host)?;
        if here.emptied() {
            let text = format!("{host} is {:?}", here.mode);
            return Some(why(Reason::Drained, &text));
        }
        if let Some(network) = networks::cut_off(round, guest, host) {
            let text = format!("{host} is cut off from {network}");
            return Some(why(Reason::CutOff, &text));
        }
        let domain = guest.spec.placement.failover_domain.as_ref();
        let domain = domain.and_then(|domain| round.state.domains.get(domain.as_str()));
        if let Some(domain) = domain.filter(|domain| domain.spec.failback) {
            let mine = placement::priority(round, guest, host);
            let back = domain.spec.nodes.iter().find(|one| {
                let known = round.hosts.get(one.node.as_str());
                one.priority < mine && known.is_some_and(|host| host.takes_more())
            });
            if let Some(back) = back {
                let text = format!("{} is preferred to {host}", back.node);
                return Some(why(Reason::FailedBack, &text));
            }
        }
        (guest.spec.placement.stickiness < GLUED).then(|| {
            why(
                Reason::Rebalanced,
                "another host suits it more than its stickiness holds it",
            )
        })
    }

    fn free_name(&self, guest: &str) -> String {
        let taken = |name: &String| self.round.state.migrations.contains_key(name);
        (1_u64..)
            .map(|number| {
                let plain = format!("{guest}-move-{number}");
                match plain.len() <= 253 {
                    true => plain,
                    false => shortened(&plain, &plain),
                }
            })
            .find(|name| !taken(name))
            .unwrap_or_default()
    }
}

fn better(work: &Work<'_, '_>, guest: &VirtualMachine, target: &str, host: &str) -> bool {
    let priority = |host| placement::priority(work.round, guest, host);
    priority(target) < priority(host)
}
