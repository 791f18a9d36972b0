//! Two hosts: a guest moves, and a move that is cut never ends in two that run (rule R1).

use crate::hosts::{Host, LEAST, SOON, host, kill, name, target};
use futures_util::StreamExt;
use quorate_crds::Name;
use quorate_node_daemon::drivers::{
    DriverError, GuestDoing, GuestTarget, Guests, HowEnded, SendTo, StartAs, WhyPaused,
};
use std::time::{Duration, Instant};

/// How often a move is cut: at three kinds of moments, with each side as the victim.
fn rounds() -> u32 {
    let asked = std::env::var("QUORATE_CUTS").ok();
    asked.map_or(6, |asked| asked.parse().expect("QUORATE_CUTS is a number"))
}

/// The source and the target, which defines its guest under the next epoch.
async fn pair(a: &str, b: &str) -> Option<(Host, Host)> {
    let mut source = host(a, None)?;
    let target_host = host(b, Some(&source.daemon.socket()))?;
    source.restart(Some(&target_host.daemon.socket()));
    source
        .guests
        .define(&target(LEAST, &[]))
        .await
        .expect("defined");
    source
        .guests
        .start(&name("web"), StartAs::Running)
        .await
        .expect("started");
    Some((source, target_host))
}

fn next(epoch: u64) -> GuestTarget {
    GuestTarget {
        epoch,
        ..target(LEAST, &[])
    }
}

fn to(node: &str, bandwidth: Option<&str>) -> SendTo {
    SendTo {
        node: Name(node.to_owned()),
        addresses: vec!["127.0.0.1".into()],
        bandwidth: bandwidth.map(Into::into),
    }
}

async fn running(hosts: [&Host; 2]) -> usize {
    let mut running = 0;
    for host in hosts {
        let seen = host.seen("web").await;
        running += usize::from(seen.is_some_and(|seen| seen.doing == GuestDoing::Running));
    }
    running
}

#[tokio::test]
async fn a_guest_moves_there_and_back_and_waits_paused_until_it_may_run() {
    let Some((a, b)) = pair("one", "two").await else {
        return;
    };
    let web = name("web");
    for (round, from, over, names) in [(2, &a, &b, ("one", "two")), (3, &b, &a, ("two", "one"))] {
        over.guests
            .receive(&next(round), &name(names.0))
            .await
            .expect("ready");
        assert_eq!(over.doing("web").await, GuestDoing::Off(HowEnded::Failed));
        from.guests
            .send(&next(round), &to(names.1, None))
            .await
            .expect("sent");
        assert_eq!(from.doing("web").await, GuestDoing::Off(HowEnded::Migrated));
        assert_eq!(
            over.doing("web").await,
            GuestDoing::Paused(WhyPaused::Received)
        );
        assert_eq!(over.seen("web").await.expect("here").epoch, Some(round));
        assert_eq!(from.qemu("web"), None);

        over.guests.resume(&web).await.expect("it may");
        assert_eq!(over.doing("web").await, GuestDoing::Running);
        over.guests.pause(&web).await.expect("paused");
        assert_eq!(
            over.doing("web").await,
            GuestDoing::Paused(WhyPaused::Asked)
        );
        over.guests.resume(&web).await.expect("resumed");
        from.guests.forget(&web).await.expect("forgotten");
        // What it was started with has come along: nothing waits for a restart.
        over.guests.define(&next(round)).await.expect("as it is");
        assert_eq!(
            over.seen("web").await.expect("here").pending_changes,
            Vec::<String>::new()
        );
    }
}

#[tokio::test]
async fn a_move_is_given_up_and_the_guest_runs_where_it_was() {
    let Some((a, b)) = pair("cancels", "waits").await else {
        return;
    };
    b.guests
        .receive(&next(2), &name("cancels"))
        .await
        .expect("ready");
    let slow = to("waits", Some("1Mi"));
    let target = next(2);
    let send = a.guests.send(&target, &slow);
    let cancel = async {
        let begun = Instant::now();
        while a.seen("web").await.expect("here").migration.is_none() {
            assert!(begun.elapsed() < SOON, "it never began");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        a.guests.cancel_send(&name("web")).await.expect("given up");
    };
    let (sent, ()) = tokio::join!(send, cancel);
    let error = sent.expect_err("given up");
    assert!(matches!(error, DriverError::Passing { .. }), "{error:?}");
    assert_eq!(a.doing("web").await, GuestDoing::Running);
    b.until("web", GuestDoing::Off(HowEnded::Failed)).await;
    a.guests
        .cancel_send(&name("web"))
        .await
        .expect("nothing to give up");
}

#[tokio::test]
async fn nobody_at_the_other_side_leaves_it_where_it_was() {
    let Some((a, b)) = pair("alone", "gone").await else {
        return;
    };
    drop(b);
    let error = a
        .guests
        .send(&next(2), &to("gone", None))
        .await
        .expect_err("nobody");
    assert!(matches!(error, DriverError::Passing { .. }), "{error:?}");
    assert_eq!(a.doing("web").await, GuestDoing::Running);
}

/// Each libvirt is killed at moments spread over the whole move, and the two are looked at until nothing changes any more.
#[tokio::test]
async fn whichever_libvirt_dies_at_whichever_moment_two_never_run() {
    let Some((a, b)) = pair("cut-source", "cut-target").await else {
        return;
    };
    // How long a move takes here, at present.
    b.guests
        .receive(&next(2), &name("cut-source"))
        .await
        .expect("ready");
    let begun = Instant::now();
    a.guests
        .send(&next(2), &to("cut-target", None))
        .await
        .expect("sent");
    let whole = begun.elapsed();
    b.guests.resume(&name("web")).await.expect("it may");
    println!("a move takes {whole:?}");
    let (mut home, mut away) = ((&b, "cut-target"), (&a, "cut-source"));
    let mut epoch = 2;
    for round in 0..rounds() {
        epoch += 1;
        let order = next(epoch);
        let mut here = home.0.listening("web").await;
        let mut there = away.0.guests.watch();
        // Until the target surely tells: a definition is an event.
        loop {
            away.0
                .guests
                .receive(&order, &name(home.1))
                .await
                .expect("ready");
            if tokio::time::timeout(Duration::from_millis(300), there.next())
                .await
                .is_ok()
            {
                break;
            }
        }
        while tokio::time::timeout(Duration::from_millis(200), there.next())
            .await
            .is_ok()
        {}
        let victim = if round / 3 % 2 == 0 { away.0 } else { home.0 };
        let process = victim.daemon.process();
        let way = to(away.1, None);
        let send = home.0.guests.send(&order, &way);
        let later = Duration::from_millis(5 * u64::from(round / 6));
        let cut = async {
            let told = match round % 3 {
                // Somewhere on the way.
                0 => {
                    tokio::time::sleep(whole.mul_f64(0.3 + f64::from(round % 10) / 15.0)).await;
                    Ok(true)
                }
                // It stands still at the source: the last step begins.
                1 => tokio::time::timeout(SOON, here.next())
                    .await
                    .map(|hint| hint.is_some()),
                // It has come, and then stands still at the target: the last replies are on their way.
                _ => {
                    let both =
                        async { there.next().await.is_some() && there.next().await.is_some() };
                    tokio::time::timeout(SOON, both).await
                }
            };
            assert_eq!(
                told,
                Ok(true),
                "round {round}: nothing was told of the move"
            );
            tokio::time::sleep(later).await;
            kill(process);
        };
        let (sent, ()) = tokio::join!(send, cut);
        let sent = sent.map_err(|error| matches!(error, DriverError::Unclear { .. }));
        settle(&a, &b).await;
        assert!(running([&a, &b]).await <= 1, "round {round}: two run");
        let (left, arrived) = (home.0.doing("web").await, away.0.doing("web").await);
        println!("round {round}: {sent:?}, source {left:?}, target {arrived:?}");
        // What the planner does: whoever has not let go keeps it, else the other may run.
        match left {
            GuestDoing::Running => {
                away.0
                    .guests
                    .destroy(&name("web"))
                    .await
                    .expect("thrown away");
            }
            // One that was killed between the end of its QEMU and its own note of that does not know why it is off.
            GuestDoing::Off(HowEnded::Migrated | HowEnded::Unknown) => {
                assert_eq!(
                    arrived,
                    GuestDoing::Paused(WhyPaused::Received),
                    "round {round}: it is lost"
                );
                away.0.guests.resume(&name("web")).await.expect("it may");
                std::mem::swap(&mut home, &mut away);
            }
            GuestDoing::Paused(_) if arrived == GuestDoing::Paused(WhyPaused::Received) => {
                home.0
                    .guests
                    .destroy(&name("web"))
                    .await
                    .expect("it stands still for good");
                away.0.guests.resume(&name("web")).await.expect("it may");
                std::mem::swap(&mut home, &mut away);
            }
            GuestDoing::Paused(_) => {
                away.0
                    .guests
                    .destroy(&name("web"))
                    .await
                    .expect("thrown away");
                home.0
                    .guests
                    .resume(&name("web"))
                    .await
                    .expect("it goes on");
            }
            other => panic!("round {round}: the source is {other:?}, the target {arrived:?}"),
        }
        assert_eq!(running([&a, &b]).await, 1, "round {round}");
    }
}

/// Until both answer, no move is under way, and nothing arrives any more.
async fn settle(a: &Host, b: &Host) {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < SOON, "they never settle");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut still = true;
        for host in [a, b] {
            match host.guests.observe().await {
                Ok(all) => {
                    for seen in all {
                        still &= seen.migration.is_none()
                            && seen.doing != GuestDoing::Paused(WhyPaused::Incoming);
                    }
                }
                Err(_) => still = false,
            }
        }
        if still {
            return;
        }
    }
}
