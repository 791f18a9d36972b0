//! Follows the kernel's events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::events::{self, Event};
use super::{Drbd, Shared, lock};
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
    shared: Arc<Shared>,
    lines: BoxStream<'static, Result<String, CommandError>>,
}

impl Drop for Following {
    fn drop(&mut self) {
        lock(&self.shared.live).begin_anew();
    }
}

impl Following {
    async fn next(&mut self) -> Option<Hint> {
        loop {
            match self.lines.next().await {
                Some(Ok(line)) => {
                    let mut live = lock(&self.shared.live);
                    let ended = live.ended;
                    live.take(&line);
                    if live.ended != ended {
                        self.shared.acts.fetch_add(1, Ordering::SeqCst);
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
        lock(&self.shared.live).begin_anew();
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
            Following {
                shared: Arc::clone(&drbd.shared),
                lines: drbd.run.follow(command.patience(SILENCE)),
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
