//! Against a real libvirt, its own simulated hypervisor, and a real QEMU.

use quorate_libvirt::private::PrivateDaemon;
use quorate_libvirt::{Connection, Element, ErrorCode, JobKind, RpcError, State, flags};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

fn daemon() -> Option<PrivateDaemon> {
    match PrivateDaemon::start("single") {
        Ok(daemon) => Some(daemon),
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

async fn connect(socket: &Path, uri: &str) -> Connection {
    let (connection, _) = Connection::open(socket, uri, PATIENCE)
        .await
        .expect("connected");
    connection
}

#[tokio::test]
async fn libvirts_own_simulated_hypervisor_understands_every_call() {
    let Some(daemon) = daemon() else { return };
    let (libvirt, mut events) = Connection::open(&daemon.socket(), "test:///default", PATIENCE)
        .await
        .expect("connected");
    assert!(libvirt.library_version().await.expect("known") >= 7_000_000);
    libvirt
        .listen(flags::event::LIFECYCLE)
        .await
        .expect("it tells");

    let domains = libvirt.list().await.expect("listed");
    assert_eq!(domains.len(), 1, "{domains:?}");
    let test = &domains[0];
    assert_eq!(test.name, "test");
    assert_eq!(libvirt.lookup("test").await.expect("there"), *test);
    let state = libvirt.state(test).await.expect("known");
    assert_eq!(state.state, State::RUNNING);

    libvirt.suspend(test).await.expect("suspended");
    let paused = State {
        state: State::PAUSED,
        reason: State::PAUSED_USER,
    };
    assert_eq!(libvirt.state(test).await.expect("known"), paused);
    let event = events.recv().await.expect("told");
    assert_eq!(event.header.procedure, 318);
    libvirt.resume(test).await.expect("resumed");

    let own = "<guest name='web'><spec>{}</spec></guest>";
    libvirt
        .set_metadata(
            test,
            own,
            "q",
            "urn:own",
            flags::affect::LIVE | flags::affect::CONFIG,
        )
        .await
        .expect("written");
    let text = libvirt
        .xml(test, flags::xml::INACTIVE)
        .await
        .expect("described");
    let xml = Element::read(&text).expect("well-formed");
    let guest = xml.find(&["metadata", "q:guest"]).expect("kept");
    assert_eq!(guest.attribute("name"), Some("web"));
    assert_eq!(guest.find(&["q:spec"]).expect("kept").text(), "{}");

    libvirt.destroy(test).await.expect("off");
    let off = libvirt.state(test).await.expect("known");
    assert_eq!((off.state, off.reason), (State::OFF, State::OFF_DESTROYED));
    libvirt.start(test, 0).await.expect("started");
    assert_eq!(
        libvirt.state(test).await.expect("known").state,
        State::RUNNING
    );
    libvirt.destroy(test).await.expect("off");
    libvirt.undefine(test, 0).await.expect("forgotten");

    let error = libvirt.lookup("test").await.expect_err("gone");
    assert_eq!(error.code(), Some(ErrorCode::NO_DOMAIN));
    let error = libvirt.define("<domain>").await.expect_err("no XML");
    assert!(error.surely_nothing(), "{error:?}");
}

const GUEST: &str = "<domain type='qemu'><name>web</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>\
    <os><type arch='x86_64' machine='pc'>hvm</type></os>\
    <devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='none'/></devices></domain>";

#[tokio::test]
async fn a_real_qemu_starts_pauses_and_dies_as_it_is_told() {
    let Some(daemon) = daemon() else { return };
    let libvirt = connect(&daemon.socket(), "qemu:///system").await;
    let web = libvirt.define(GUEST).await.expect("defined");
    assert_eq!(web.id, -1);
    libvirt
        .set_autostart(&web, false)
        .await
        .expect("not by itself");
    libvirt
        .start(&web, flags::start::PAUSED)
        .await
        .expect("started");
    let paused = State {
        state: State::PAUSED,
        reason: State::PAUSED_USER,
    };
    assert_eq!(libvirt.state(&web).await.expect("known"), paused);
    libvirt.resume(&web).await.expect("resumed");
    assert_eq!(
        libvirt.state(&web).await.expect("known").state,
        State::RUNNING
    );
    assert_eq!(libvirt.job(&web).await.expect("known").kind, JobKind::None);
    let error = libvirt.set_cpus(&web, 2, flags::affect::LIVE).await;
    assert!(error.is_err(), "it has one at most");
    libvirt.destroy(&web).await.expect("off");
    let off = libvirt.state(&web).await.expect("known");
    assert_eq!((off.state, off.reason), (State::OFF, State::OFF_DESTROYED));
    libvirt
        .undefine(&web, flags::undefine::MANAGED_SAVE)
        .await
        .expect("forgotten");
}

#[tokio::test]
async fn a_libvirt_that_is_killed_is_noticed_and_the_next_one_still_knows_the_guest() {
    let Some(daemon) = daemon() else { return };
    let libvirt = connect(&daemon.socket(), "qemu:///system").await;
    let web = libvirt.define(GUEST).await.expect("defined");
    libvirt.start(&web, 0).await.expect("started");

    let killed = std::process::Command::new("kill")
        .args(["-9", &daemon.process().to_string()])
        .status();
    assert!(killed.expect("kill runs").success());
    let error = loop {
        // The answer to one that was asked before may still have come.
        if let Err(error) = libvirt.state(&web).await {
            break error;
        }
    };
    assert!(matches!(error, RpcError::Lost { .. }), "{error:?}");
    assert!(!error.surely_nothing());

    let begun = std::time::Instant::now();
    let again = loop {
        assert!(begun.elapsed() < PATIENCE, "it was not started again");
        match Connection::open(&daemon.socket(), "qemu:///system", PATIENCE).await {
            Ok((connection, _)) => break connection,
            Err(RpcError::Unreachable { .. } | RpcError::Lost { .. }) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    let found = again.lookup("web").await.expect("known");
    assert_eq!(
        again.state(&found).await.expect("known").state,
        State::RUNNING
    );
}
