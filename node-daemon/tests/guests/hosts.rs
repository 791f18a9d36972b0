//! Hosts with a libvirt of their own.

use futures_util::StreamExt;
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{Name, VirtualMachineSpec};
use quorate_identity::{Authority, KeyRequest};
use quorate_libvirt::private::PrivateDaemon;
use quorate_node_daemon::drivers::{
    DiskSource, GuestDoing, GuestSeen, GuestTarget, Guests, Hint, Hints, LibvirtGuests,
    LibvirtSettings,
};
use quorate_node_daemon::node::{HypervisorFiles, Shown};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Long enough for anything, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(120);

pub(crate) struct Host {
    pub(crate) daemon: PrivateDaemon,
    pub(crate) guests: LibvirtGuests,
}

/// None, and the reason is said, where libvirt is not installed.
pub(crate) fn host(name: &str, peer: Option<&Path>) -> Option<Host> {
    let daemon = match PrivateDaemon::start(name) {
        Ok(daemon) => daemon,
        Err(why) => {
            println!("skipped: {why}");
            return None;
        }
    };
    let mut host = Host {
        guests: LibvirtGuests::new(LibvirtSettings::default()),
        daemon,
    };
    host.restart(peer);
    Some(host)
}

/// A host whose libvirt listens with TLS on that port, with its certificates of this cluster, and sends to the other port.
pub(crate) fn tls_host(name: &str, (port, peer): (u16, u16), cluster: &Authority) -> Option<Host> {
    let hypervisors = cluster.hypervisors().expect("an authority");
    let key = KeyRequest::generate().expect("a key");
    let certificate = hypervisors
        .issue(key.request(), name, &[IpAddr::from([127, 0, 0, 1])])
        .expect("signed");
    let started = PrivateDaemon::start_with_tls(name, port, |root| {
        let files = HypervisorFiles {
            addresses: std::collections::BTreeSet::new(),
            root: root.to_owned(),
            qemu_group: None,
        };
        files.write(&Shown {
            certificate: &certificate,
            key: key.key(),
            authority: &hypervisors.certificate_pem(),
        })
    });
    let daemon = match started {
        Ok(daemon) => daemon,
        Err(why) => {
            println!("skipped: {why}");
            return None;
        }
    };
    let guests = LibvirtGuests::new(LibvirtSettings {
        sockets: vec![daemon.socket()],
        peer: format!("qemu+tls://{{}}:{peer}/system"),
        consoles: daemon.path("consoles"),
        definitions: daemon.path("definitions"),
        ..LibvirtSettings::default()
    });
    Some(Host { daemon, guests })
}

impl Host {
    /// The driver begins anew, as after a restart of the daemon.
    pub(crate) fn restart(&mut self, peer: Option<&Path>) {
        let socket = peer.unwrap_or(Path::new("/nonexistent")).display();
        self.guests = LibvirtGuests::new(LibvirtSettings {
            sockets: vec![self.daemon.socket()],
            peer: format!("qemu+unix:///system?socket={socket}#{{}}"),
            encrypted: false,
            consoles: self.daemon.path("consoles"),
            definitions: self.daemon.path("definitions"),
            ..LibvirtSettings::default()
        });
    }

    pub(crate) async fn seen(&self, guest: &str) -> Option<GuestSeen> {
        let all = self.guests.observe().await.expect("observed");
        all.into_iter().find(|seen| {
            seen.owner
                .object()
                .is_some_and(|name| name.as_str() == guest)
        })
    }

    pub(crate) async fn doing(&self, guest: &str) -> GuestDoing {
        self.seen(guest).await.expect("it is here").doing
    }

    pub(crate) async fn until(&self, guest: &str, wanted: GuestDoing) {
        let begun = Instant::now();
        loop {
            let doing = self.doing(guest).await;
            if doing == wanted {
                return;
            }
            assert!(
                begun.elapsed() < SOON,
                "{guest} is {doing:?}, wanted: {wanted:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Hints that surely come: the first has come, of a change of our own.
    pub(crate) async fn listening(&self, guest: &str) -> Hints {
        let guest = name(guest);
        let mut hints = self.guests.watch();
        let knock = async {
            loop {
                self.guests.pause(&guest).await.expect("paused");
                self.guests.resume(&guest).await.expect("resumed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            hint = hints.next() => assert_eq!(hint, Some(Hint::Object(guest.clone()))),
            () = knock => {}
        }
        self.guests.resume(&guest).await.expect("it runs");
        // What of the knocking has not come yet.
        while tokio::time::timeout(Duration::from_millis(200), hints.next())
            .await
            .is_ok()
        {}
        hints
    }

    /// Until a guest without a system has found that there is none: its firmware touches no device any more.
    pub(crate) async fn firmware_rests(&self, guest: &str) {
        let begun = Instant::now();
        let mut before = self.processor_seconds(guest);
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.processor_seconds(guest);
            if now > 0.0 && now - before < 0.15 {
                return;
            }
            assert!(begun.elapsed() < SOON, "its firmware works on and on");
            before = now;
        }
    }

    fn processor_seconds(&self, guest: &str) -> f64 {
        let said = self.virsh(&["dominfo", guest]);
        let line = said.lines().find_map(|line| line.strip_prefix("CPU time:"));
        let seconds = line.and_then(|line| line.trim().strip_suffix('s'));
        seconds
            .and_then(|seconds| seconds.parse().ok())
            .expect("seconds")
    }

    pub(crate) fn virsh(&self, arguments: &[&str]) -> String {
        let uri = format!(
            "qemu+unix:///system?socket={}",
            self.daemon.socket().display()
        );
        let output = Command::new("virsh")
            .args(["-q", "-c", &uri])
            .args(arguments)
            .output()
            .expect("virsh runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// The QEMU of that guest, as this machine counts.
    pub(crate) fn qemu(&self, guest: &str) -> Option<u32> {
        let wanted = format!("guest={guest},");
        let mine = self
            .daemon
            .socket()
            .parent()
            .expect("a directory")
            .display()
            .to_string();
        std::fs::read_dir("/proc")
            .expect("listed")
            .find_map(|entry| {
                let process: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
                let read = |file: &str| std::fs::read(format!("/proc/{process}/{file}")).ok();
                let line = String::from_utf8_lossy(&read("cmdline")?).into_owned();
                let mounts = String::from_utf8_lossy(&read("mountinfo")?).into_owned();
                (line.contains(&wanted) && mounts.contains(mine.trim_start_matches("/tmp/")))
                    .then_some(process)
            })
    }
}

pub(crate) fn kill(process: u32) {
    let process = i32::try_from(process)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(process.expect("a process"), rustix::process::Signal::KILL)
        .expect("killed");
}

pub(crate) fn name(text: &str) -> Name {
    Name(text.to_owned())
}

/// A guest without anything to boot: QEMU does not mind.
pub(crate) const LEAST: &str =
    "{memory: 32Mi, machine: pc, hypervisor: Qemu, display: {protocol: None}}";

pub(crate) fn target(yaml: &str, disks: &[(&str, &Path)]) -> GuestTarget {
    let spec: VirtualMachineSpec = serde_saphyr::from_str(yaml).expect("a spec");
    GuestTarget {
        name: name("web"),
        uid: "5c1f6a5e-0000-4000-8000-000000000001".to_owned(),
        spec: Arc::new(spec),
        generation: 1,
        epoch: 1,
        disks: disks
            .iter()
            .map(|(disk, path)| DiskSource {
                disk: (*disk).into(),
                path: AbsolutePath(path.display().to_string()),
            })
            .collect(),
        nics: Vec::new(),
        display_password: None,
    }
}

pub(crate) fn image(host: &Host, name: &str) -> PathBuf {
    let path = host.daemon.path(name);
    std::fs::File::create(&path)
        .and_then(|file| file.set_len(1 << 20))
        .expect("an image");
    path
}
