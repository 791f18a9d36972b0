//! Follows the kernel's events, and looks beside them at what it only counts.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use quorate_crds::Name;
use tokio::time::{Interval, MissedTickBehavior};

use super::events::{self, Event};
use super::{Drbd, lock, writes};
use crate::drivers::command::{Command, CommandError};
use crate::drivers::{Hint, Hints};

/// Before a stream that has ended is opened again: one that cannot be opened must not keep the host busy.
const REST: Duration = Duration::from_secs(5);
/// A host without the module looks for it so often; that starts no program.
const LOOK_FOR_MODULE: Duration = Duration::from_secs(2);
/// DRBD says something seldom.
const SILENCE: Duration = Duration::from_secs(u32::MAX as u64);

/// What is said counts while it is followed.
struct Following {
    drbd: Drbd,
    lines: BoxStream<'static, Result<String, CommandError>>,
    looks: Interval,
    /// Replicas of which something else is to be said now.
    renewed: VecDeque<Name>,
}

impl Drop for Following {
    fn drop(&mut self) {
        lock(&self.drbd.shared.live).begin_anew();
    }
}

impl Following {
    async fn next(&mut self) -> Option<Hint> {
        loop {
            if let Some(volume) = self.renewed.pop_front() {
                return Some(Hint::Object(volume));
            }
            let line = tokio::select! {
                line = self.lines.next() => line,
                _ = self.looks.tick() => {
                    let live = lock(&self.drbd.shared.live).clone();
                    if live.complete {
                        self.renewed.extend(self.drbd.look_at_writes(&live, Timestamp::now()));
                    }
                    continue;
                }
            };
            match line {
                Some(Ok(line)) => {
                    let shared = &self.drbd.shared;
                    let mut live = lock(&shared.live);
                    let ended = live.ended;
                    live.take(&line);
                    if live.ended != ended {
                        shared.acts.fetch_add(1, Ordering::SeqCst);
                    }
                    if !live.complete {
                        continue;
                    }
                    match events::read(&line) {
                        Event::Other => {}
                        Event::Complete => return Some(Hint::Anything),
                        Event::Told { fields, .. } => {
                            return Some(match fields.get("name") {
                                Some(name) => Hint::Object(name.into()),
                                None => Hint::Anything,
                            });
                        }
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "DRBD's events are no longer heard; they are heard again in a moment"
                    );
                    self.ended().await;
                    return None;
                }
                None => {
                    self.ended().await;
                    return None;
                }
            }
        }
    }

    async fn ended(&mut self) {
        lock(&self.drbd.shared.live).begin_anew();
        tokio::time::sleep(REST).await;
    }
}

impl Drbd {
    pub(super) fn follow(&self) -> Hints {
        let drbd = self.clone();
        let opened = async move {
            while !drbd.loaded() {
                tokio::time::sleep(LOOK_FOR_MODULE).await;
            }
            lock(&drbd.shared.live).begin_anew();
            let command = Command::new("drbdsetup", ["events2", "--statistics", "all"]);
            let mut looks = tokio::time::interval(writes::EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Following {
                lines: drbd.run.follow(command.patience(SILENCE)),
                drbd,
                looks,
                renewed: VecDeque::new(),
            }
        };
        stream::once(opened)
            .flat_map(|following| {
                stream::unfold(following, |mut following| async move {
                    let hint = following.next().await?;
                    Some((hint, following))
                })
            })
            .boxed()
    }
}
