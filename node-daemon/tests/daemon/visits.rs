//! People at the consoles of this host's guests.

use super::host::Host;
use super::plans::{DISK, POOL, WEB, Wanted};
use prost::bytes::Bytes;
use quorate_node_daemon::link::Visit;
use quorate_node_daemon::simulated::room::{Happening, Request};
use quorate_proto::host::v1::{
    Device, Present, VisitEnd, Visitor, from_guest::What, visit_end::Why,
};
use std::time::Duration;
use tokio::sync::mpsc;

struct Person {
    type_: mpsc::Sender<Bytes>,
    told: mpsc::Receiver<What>,
}

impl Person {
    fn comes(host: &Host, visitor: Visitor) -> Self {
        let (say, told) = mpsc::channel(16);
        let (type_, hear) = mpsc::channel(16);
        host.cluster.comes(Visit { visitor, say, hear });
        Self { type_, told }
    }

    async fn told(&mut self) -> What {
        self.told.recv().await.expect("something is said")
    }

    async fn is_let_in(&mut self) -> Present {
        match self.told().await {
            What::Present(present) => present,
            other => panic!("not let in: {other:?}"),
        }
    }

    async fn is_told_the_end(&mut self) -> VisitEnd {
        loop {
            if let What::End(end) = self.told().await {
                return end;
            }
        }
    }

    async fn reads(&mut self, wanted: &str) {
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains(wanted) {
            match self.told().await {
                What::Data(data) => read.extend_from_slice(&data),
                other => panic!("after {read:?}: {other:?}"),
            }
        }
    }
}

fn at_the_console(user: &str) -> Visitor {
    Visitor {
        guest: "web".to_owned(),
        device: Device::Serial.into(),
        user: user.to_owned(),
        ..Visitor::default()
    }
}

async fn running() -> Host {
    let host = Host::new().await;
    host.cluster.plan(Wanted::default().plan());
    host.until("the guest runs", |host| {
        [POOL, DISK, WEB]
            .iter()
            .all(|record| host.cluster.converged(record))
    })
    .await;
    host
}

#[tokio::test(start_paused = true)]
async fn one_is_at_the_console_and_the_next_is_told_who_or_takes_it_over() {
    let host = running().await;
    let mut ann = Person::comes(&host, at_the_console("ann"));
    assert_eq!(ann.is_let_in().await.others, []);
    ann.reads("SIMULATED").await;
    ann.type_.send("hello\r".into()).await.expect("typed");
    ann.reads("hello\r").await;

    tokio::time::sleep(Duration::from_secs(70)).await;
    let mut bob = Person::comes(&host, at_the_console("bob"));
    let end = bob.is_told_the_end().await;
    assert_eq!(end.why(), Why::Taken);
    assert!(end.reason.contains("ann"), "{}", end.reason);
    assert!(end.reason.contains("--force"), "{}", end.reason);

    let mut looks = Person::comes(
        &host,
        Visitor {
            only_looks: true,
            ..at_the_console("carl")
        },
    );
    let there = looks.is_let_in().await.others;
    assert_eq!(there.len(), 1);
    assert_eq!(
        (there[0].user.as_str(), there[0].device()),
        ("ann", Device::Serial)
    );
    assert!(there[0].seconds >= 70, "{there:?}");

    let forced = Visitor {
        force: true,
        ..at_the_console("bob")
    };
    let mut bob = Person::comes(&host, forced);
    assert_eq!(
        bob.is_let_in().await.others.len(),
        1,
        "he is told whom he sent away"
    );
    let end = ann.is_told_the_end().await;
    assert_eq!(
        (end.why(), end.reason.as_str()),
        (Why::Over, "bob took the console over")
    );
    bob.reads("SIMULATED").await;

    // Bob goes, and the console is free.
    drop(bob);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut ann = Person::comes(&host, at_the_console("ann"));
    assert_eq!(ann.is_let_in().await.others, []);
}

#[tokio::test(start_paused = true)]
async fn a_console_ends_with_its_guest_and_says_so() {
    let host = running().await;
    let mut ann = Person::comes(&host, at_the_console("ann"));
    ann.is_let_in().await;
    let off = Happening::GuestPowersOff("web".to_owned());
    host.room
        .lock()
        .ask(Request::Happen(off))
        .outcome
        .expect("it was on");
    let end = ann.is_told_the_end().await;
    assert_eq!(
        (end.why(), end.reason.as_str()),
        (Why::Over, "guest web is off")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_cannot_be_visited() {
    let host = running().await;
    let other = Visitor {
        guest: "db".to_owned(),
        ..at_the_console("ann")
    };
    let end = Person::comes(&host, other).is_told_the_end().await;
    assert_eq!(end.why(), Why::Refused);
    assert!(
        end.reason.contains("guest db does not run"),
        "{}",
        end.reason
    );

    let screen = Visitor {
        device: Device::Screen.into(),
        ..at_the_console("ann")
    };
    let end = Person::comes(&host, screen).is_told_the_end().await;
    assert_eq!(end.why(), Why::Refused);
    assert!(end.reason.contains("no screen"), "{}", end.reason);
}
