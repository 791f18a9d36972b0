//! A host for a guest that nobody holds.

use super::{Guest, Work, enter, failures_on, why};
use crate::placement::{Wish, choose};
use crate::state::Subject;
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
            let record = round.state.record(&Subject::guest(name), before);
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
        let mut refused: BTreeMap<&str, String> = BTreeMap::new();
        for host in round.hosts.names() {
            let times = failures_on(status, host);
            if times > recovery.max_restarts {
                let times = match times {
                    1 => "once".to_owned(),
                    times => format!("{times} times"),
                };
                let text = format!("it failed there {times} within {}", recovery.restart_window);
                refused.insert(host, text);
            } else if !status.failures.is_empty() && !recovery.relocate && Some(host) != before {
                refused.insert(host, "relocate is false".to_owned());
            }
        }
        let host_is_away = before
            .and_then(|before| round.hosts.get(before))
            .is_some_and(|host| !host.online());
        let there_all_along = before.is_some_and(|before| {
            let record = round.state.record(&Subject::guest(name), before);
            record.is_some_and(|record| !round.hosts.dead(before, record.spec.incarnation))
        });
        if recovering && !guest.spec.protected && host_is_away {
            return why(
                Reason::NotProtected,
                "its host was lost, and it is not protected",
            );
        }
        let failed = !status.failures.is_empty();
        let wish = Wish {
            keep_reserve: !recovering && !failed,
            refused: &refused,
            ..Wish::default()
        };
        let host = match choose(round, &self.ledger, (name, guest), &wish) {
            Ok(host) => host,
            Err(obstacles) if refused.is_empty() => {
                return why(Reason::NoHostFits, &obstacles.join("; "));
            }
            Err(obstacles) => return why(Reason::RecoveryExhausted, &obstacles.join("; ")),
        };
        self.ledger.promise(host, name, guest);
        let turn = self
            .starts
            .turn(round, self.outcome, (name, guest), host, status);
        if let Err(obstacle) = turn {
            return obstacle;
        }
        self.starts.begin(host, round.now);
        let placed = match before {
            Some(before) if recovering => {
                let text = match host_is_away || !there_all_along {
                    true => format!("{before} was lost and is confirmed off"),
                    false => "the host that it was on its way to was lost".to_owned(),
                };
                why(Reason::Recovered, &text)
            }
            Some(before) if failed && before != host => why(
                Reason::Relocated,
                &format!("it failed too often on {before}"),
            ),
            Some(before) if restarting && before == host => why(
                Reason::Restarted,
                &format!("it was stopped on {host} first"),
            ),
            Some(before) if restarting => {
                why(Reason::Relocated, &format!("it was stopped on {before}"))
            }
            _ => why(
                Reason::Placed,
                &format!("{host} is the best of the hosts that fit"),
            ),
        };
        self.give((name, guest), host, placed, status)
    }
}
