//! What is not written.

use std::time::Duration;

use crate::support::World;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_idle_cluster_writes_nothing() {
    let world = World::up(3, 2).await;
    world.guest("web").await;
    world.guest("mail").await;
    world
        .until("both run", |world| {
            world.runs_on("web").len() == 1 && world.runs_on("mail").len() == 1
        })
        .await;
    // Devices are asked for the first time, and everything comes to rest.
    world.pass(300 * SECOND).await;
    let before = world.store(1).view().revision();
    world.pass(300 * SECOND).await;
    let written: Vec<_> = world.changes_since(before);
    assert!(written.is_empty(), "{written:?}");
}
