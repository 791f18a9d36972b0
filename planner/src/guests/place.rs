//! A host for a guest that nobody holds.

use super::{Guest, Work, enter, failures_on, is_of_host, is_on, own_failures, why};
use crate::order::Starts;
use crate::placement::{Wish, choose};
use crate::state::About;
use crate::volumes::Asking;
use crate::{Reason, Why};
use quorate_crds::{GuestState, Name, VirtualMachineStatus};
use std::collections::BTreeMap;

impl<'a> Work<'_, 'a> {
    pub(super) fn place(
        &mut self,
        (name, guest): Guest<'a>,
        status: &mut VirtualMachineStatus,
    ) -> Why {
        let round = self.round;
        status.migration = None;
        let before = status
            .placement
            .as_ref()
            .and_then(|placement| placement.node.clone());
        let before = before.as_ref().map(Name::as_str);
        let lost = before.is_some_and(|before| {
            let record = round.state.record(About::guest(name), before);
            record.is_some_and(|record| round.hosts.dead(before, record.spec.incarnation))
                || status.state == Some(GuestState::Unknown)
        });
        let recovering = lost
            || status.conditions.iter().any(|condition| {
                condition.type_ == "Scheduled" && condition.reason == Reason::NotProtected.as_str()
            });
        let restarting = !lost && status.state == Some(GuestState::Stopping);
        if status.state != Some(GuestState::Failed) {
            let state = match lost {
                true => GuestState::Unknown,
                false => GuestState::Pending,
            };
            enter(status, state, round.now);
        }
        let recovery = &guest.spec.recovery;
        let failed = own_failures(status).next().is_some();
        let mut exhausted = false;
        let mut refused: BTreeMap<&str, String> = BTreeMap::new();
        for host in round.hosts.names() {
            let times = failures_on(status, host);
            if times > recovery.max_restarts {
                let times = match times {
                    1 => "once".to_owned(),
                    times => format!("{times} times"),
                };
                let text = format!("it failed there {times} within {}", recovery.restart_window);
                refused.insert(host, with_last_words(status, host, text));
                exhausted = true;
            } else if failed && !recovery.relocate && Some(host) != before {
                refused.insert(host, "relocate is false".to_owned());
                exhausted = true;
            } else if status
                .failures
                .iter()
                .any(|it| is_of_host(it) && is_on(it, host))
            {
                let text = "cannot run it".to_owned();
                refused.insert(host, with_last_words(status, host, text));
            }
        }
        let host_is_away = before
            .and_then(|before| round.hosts.get(before))
            .is_some_and(|host| !host.online());
        let there_all_along = before.is_some_and(|before| {
            let record = round.state.record(About::guest(name), before);
            record.is_some_and(|record| !round.hosts.dead(before, record.spec.incarnation))
        });
        if recovering && !guest.spec.protected && host_is_away {
            return why(
                Reason::NotProtected,
                "its host was lost, and it is not protected",
            );
        }
        let wish = Wish {
            keep_reserve: !recovering && !failed,
            refused: &refused,
            ..Wish::default()
        };
        let chosen = match choose(round, &self.ledger, (name, guest), wish) {
            Ok(chosen) => chosen,
            Err(_) if let Some(still) = self.still_waits((name, guest), status, wish) => {
                return still;
            }
            Err(obstacles) if !exhausted => {
                return why(Reason::NoHostFits, &obstacles.join("; "));
            }
            Err(obstacles) => return why(Reason::RecoveryExhausted, &obstacles.join("; ")),
        };
        let host = chosen.host;
        self.ledger.promise(host, name, guest);
        let starts = self.starts.get_or_insert_with(|| Starts::of(round));
        let turn = starts.turn(round, self.outcome, (name, guest), host, status);
        if let Err(obstacle) = turn {
            return obstacle;
        }
        starts.begin(host, round.now);
        let chosen = || chosen.words(round, &self.ledger);
        let placed = match before {
            Some(before) if recovering => {
                let text = match host_is_away || !there_all_along {
                    true => format!("{before} was lost and is confirmed off"),
                    false => "the host that it was on its way to was lost".to_owned(),
                };
                why(Reason::Recovered, &format!("{text}; {}", chosen()))
            }
            Some(before) if failed && before != host => why(
                Reason::Relocated,
                &format!("it failed too often on {before}; {}", chosen()),
            ),
            Some(before)
                if before != host
                    && status
                        .failures
                        .iter()
                        .any(|it| is_of_host(it) && is_on(it, before)) =>
            {
                let text = format!("{before} cannot run it");
                let text = with_last_words(status, before, text);
                why(Reason::Relocated, &format!("{text}; {}", chosen()))
            }
            Some(before) if restarting && before == host => why(
                Reason::Restarted,
                &format!("it was stopped on {host} first"),
            ),
            Some(before) if restarting => why(
                Reason::Relocated,
                &format!("it was stopped on {before}; {}", chosen()),
            ),
            _ => why(Reason::Placed, &chosen()),
        };
        self.give((name, guest), host, placed, status)
    }

    /// A guest that had its host and waits for its turn goes on waiting while that host is at work on
    /// one of its volumes: what was said of it just before still counts.
    fn still_waits(
        &self,
        guest: Guest<'a>,
        status: &VirtualMachineStatus,
        wish: Wish<'_, 'a>,
    ) -> Option<Why> {
        let mut conditions = status.conditions.iter();
        let said = conditions.find(|one| one.type_ == "Scheduled")?;
        let waits = [
            Reason::StartLimit,
            Reason::StartDelayed,
            Reason::WaitingForGuest,
        ];
        let reason = waits.into_iter().find(|one| one.as_str() == said.reason)?;
        let patient = Wish {
            keep_reserve: wish.keep_reserve,
            refused: wish.refused,
            asking: Asking {
                at_work_counts: true,
                ..wish.asking
            },
        };
        choose(self.round, &self.ledger, guest, patient).ok()?;
        Some(why(reason, &said.message))
    }
}

/// What is known about the last failure on that host, after `text`.
fn with_last_words(status: &VirtualMachineStatus, host: &str, text: String) -> String {
    let mut last = status.failures.iter().rev();
    let last = last.find(|failure| is_on(failure, host));
    match last.and_then(|failure| failure.message.as_deref()) {
        Some(message) => format!("{text}: {message}"),
        None => text,
    }
}
