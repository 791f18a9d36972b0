//! The console of a guest that answers, and its screen.

use crate::hosts::{Host, SOON, host, name, target};
use quorate_node_daemon::drivers::{DriverError, Guests, Line, StartAs, Trouble};
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TALKS: &str = "{memory: 32Mi, machine: pc, hypervisor: Qemu, serialConsole: true,
    display: {protocol: Vnc}, disks: [{name: root, file: {filesystem: f, path: echo}, bus: Ide, io: Threads}]}";

/// What is booted from it sends back whatever comes over the serial port.
fn echo(host: &Host) -> PathBuf {
    let mut sector = vec![0; 512];
    let program = [
        0xba, 0xfd, 0x03, // mov dx, 3fdh: its state
        0xec, // wait: in al, dx
        0xa8, 0x01, // test al, 1: has something come?
        0x74, 0xfb, // jz wait
        0xba, 0xf8, 0x03, // mov dx, 3f8h: its data
        0xec, // in al, dx
        0xee, // out dx, al
        0xeb, 0xf1, // jmp to the beginning
    ];
    sector[..program.len()].copy_from_slice(&program);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector.resize(1 << 20, 0);
    let path = host.daemon.path("echo");
    std::fs::write(&path, sector).expect("a disk");
    path
}

async fn talking(label: &str) -> Option<Host> {
    let host = host(label, None)?;
    let disk = echo(&host);
    host.guests
        .define(&target(TALKS, &[("root", &disk)]))
        .await
        .expect("defined");
    host.guests
        .start(&name("web"), StartAs::Running)
        .await
        .expect("started");
    Some(host)
}

/// Types until it comes back: what boots first does not listen yet.
async fn echoes(line: &mut Line) {
    let come_back = async {
        let mut part = [0; 256];
        let mut again = tokio::time::interval(std::time::Duration::from_millis(500));
        loop {
            tokio::select! {
                _ = again.tick() => line.write_all(b"?").await.expect("typed"),
                read = line.read(&mut part) => {
                    let read = read.expect("it lives");
                    assert_ne!(read, 0, "the guest runs");
                    if part[..read].contains(&b'?') {
                        return;
                    }
                }
            }
        }
    };
    tokio::time::timeout(SOON, come_back).await.expect("soon");
}

fn refused(opened: Result<Line, DriverError>) -> DriverError {
    opened.map(drop).expect_err("refused")
}

#[tokio::test]
async fn what_is_typed_at_a_console_reaches_the_guest_and_its_words_come_back() {
    let Some(host) = talking("talks").await else {
        return;
    };
    let (guests, web) = (&host.guests, name("web"));
    let mut line = guests.console(&web, false).await.expect("opened");
    echoes(&mut line).await;

    let error = refused(guests.console(&web, false).await);
    assert_eq!(error.trouble(), Trouble::InUse, "{error:?}");
    let mut taken = guests.console(&web, true).await.expect("taken over");
    echoes(&mut taken).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(SOON, line.read_to_end(&mut rest)).await;
    ended
        .expect("whoever had it is told soon")
        .expect("its end");

    // Left, it is free; and it ends with the guest.
    drop(taken);
    let mut line = guests.console(&web, false).await.expect("free");
    guests.destroy(&web).await.expect("off");
    let ended = tokio::time::timeout(SOON, line.read_to_end(&mut rest)).await;
    ended.expect("soon").expect("its end");
    let error = refused(guests.console(&web, false).await);
    assert_eq!(error.trouble(), Trouble::GuestNotRunning);
}

#[tokio::test]
async fn a_screen_answers_in_its_own_protocol() {
    let Some(host) = talking("shows").await else {
        return;
    };
    let mut line = host.guests.screen(&name("web")).await.expect("opened");
    let mut hello = [0; 12];
    let read = tokio::time::timeout(SOON, line.read_exact(&mut hello)).await;
    read.expect("soon").expect("it speaks first");
    assert_eq!(&hello, b"RFB 003.008\n");
    host.guests.destroy(&name("web")).await.expect("off");
}
