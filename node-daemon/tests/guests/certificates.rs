//! Two libvirts that know each other by the cluster's certificates alone.

use crate::hosts::{LEAST, name, target, tls_host};
use quorate_identity::{Authority, Credentials, Subject, SystemClock};
use quorate_node_daemon::drivers::{GuestDoing, GuestTarget, Guests, SendTo, StartAs, WhyPaused};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// What somebody hears who shows these.
fn calls(port: u16, pki: &Path) -> (bool, String) {
    let uri = format!(
        "qemu+tls://127.0.0.1:{port}/system?pkipath={}",
        pki.display()
    );
    let said = Command::new("virsh")
        .args(["-c", &uri, "list"])
        .output()
        .expect("virsh runs");
    (
        said.status.success(),
        String::from_utf8_lossy(&said.stderr).into_owned(),
    )
}

#[tokio::test]
async fn a_guest_moves_encrypted_and_nobody_else_is_let_in() {
    let cluster = Authority::create("anvil", Arc::new(SystemClock)).expect("an authority");
    let (one, two) = (port(), port());
    let Some(a) = tls_host("one", (one, two), &cluster) else {
        return;
    };
    let Some(b) = tls_host("two", (two, one), &cluster) else {
        return;
    };
    let web = name("web");
    a.guests.define(&target(LEAST, &[])).await.expect("defined");
    a.guests
        .start(&web, StartAs::Running)
        .await
        .expect("started");
    let next = GuestTarget {
        epoch: 2,
        ..target(LEAST, &[])
    };
    b.guests.receive(&next, &name("one")).await.expect("ready");
    let to = SendTo {
        node: name("two"),
        addresses: vec!["127.0.0.1".into()],
        bandwidth: None,
    };
    a.guests.send(&next, &to).await.expect("sent");
    assert_eq!(
        b.doing("web").await,
        GuestDoing::Paused(WhyPaused::Received)
    );
    b.guests.resume(&web).await.expect("it may");
    assert_eq!(b.doing("web").await, GuestDoing::Running);

    // An administrator's certificate, and a host's, are good for the cluster, and not for its libvirts.
    for subject in [Subject::admin(), Subject::node("one").expect("a name")] {
        let directory = tempfile::tempdir().expect("a directory");
        let own = Credentials::issue(&cluster, &subject, &[]).expect("issued");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("written");
        };
        write("clientcert.pem", own.chain_pem());
        write("clientkey.pem", own.key_pem());
        let hypervisors = cluster.hypervisors().expect("an authority");
        write("cacert.pem", &hypervisors.certificate_pem());
        let (let_in, said) = calls(two, directory.path());
        assert!(!let_in, "{} commands guests: {said}", subject.user());
    }
    // The same way with what the hosts show.
    let shown = tempfile::tempdir().expect("a directory");
    for (file, name) in [
        ("CA/cacert.pem", "cacert.pem"),
        ("libvirt/clientcert.pem", "clientcert.pem"),
        ("libvirt/private/clientkey.pem", "clientkey.pem"),
    ] {
        std::fs::copy(a.daemon.path("pki").join(file), shown.path().join(name)).expect("copied");
    }
    let (let_in, said) = calls(two, shown.path());
    assert!(let_in, "{said}");
    b.guests.destroy(&web).await.expect("off");
}
