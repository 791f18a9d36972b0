//! What this host's hypervisor shows to those of the other hosts, and whom it believes.
//!
//! libvirt and QEMU read their certificates where their own documentation says; they are kept there, new every day, from
//! the authority of the cluster's hypervisors. Files that somebody else has put there are left alone.

use crate::link::{GrpcLink, LinkError};
use quorate_identity::{Credentials, KeyError, KeyRequest, addresses_in};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::process::Command;
use tokio::sync::watch;

/// How often it is looked at what is there.
const LOOK: Duration = Duration::from_secs(600);
/// After a failure, and while there is no hypervisor.
const AGAIN: Duration = Duration::from_secs(60);
/// A certificate is replaced when it is so old: it should not be needed for a year.
const OLD: Duration = Duration::from_secs(24 * 3600);
/// What is there wherever libvirt is installed. One that is to listen with TLS does not start, and has no socket, before it has its
/// certificates.
const INSTALLED: &str = "/etc/libvirt";
/// Where libvirt and QEMU look when nothing else is configured.
const PLACE: &str = "/etc/pki";
/// QEMU runs as a user of its own, whose name differs between distributions.
const QEMU_GROUPS: [&str; 2] = ["libvirt-qemu", "qemu"];
/// The first line of what is ours.
const OURS: &str =
    "# Kept by quorate-node. It leaves files of others alone: put your own in this place.\n";
/// libvirt's daemons that may listen with TLS: they read a new certificate when they are told.
const LISTENERS: [(&str, &str); 2] = [
    ("/run/libvirt/virtproxyd-admin-sock", "virtproxyd:///system"),
    ("/run/libvirt/libvirt-admin-sock", "libvirtd:///system"),
];

/// Why there is no new certificate. All of it may pass.
#[derive(Debug, Error)]
enum Failure {
    #[error("the cluster does not certify it")]
    Link(#[from] LinkError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot write it")]
    File(#[from] io::Error),
}

/// Keeps this host's hypervisor known to the others.
pub struct HypervisorCertificates {
    pub(super) link: GrpcLink,
    /// Without one of them, or libvirt's own directory, there is no hypervisor to be known.
    pub(super) sockets: Vec<PathBuf>,
    /// What others reach it at.
    pub(super) addresses: watch::Receiver<BTreeSet<IpAddr>>,
}

/// The certificate, its key, and whom to believe: PEM.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The certificate.
    pub certificate: &'a str,
    /// Its key.
    pub key: &'a str,
    /// The authority's certificate.
    pub authority: &'a str,
}

/// The directory with the files of libvirt and QEMU.
#[derive(Debug)]
pub struct HypervisorFiles {
    /// `/etc/pki`.
    pub root: PathBuf,
    /// Who reads QEMU's keys beside root.
    pub qemu_group: Option<u32>,
    /// What its certificates have to be for.
    pub addresses: BTreeSet<IpAddr>,
}

/// Whose files one program finds there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// None, or not all, or ones of ours that are old or lack an address.
    Wanting,
    /// Ours, and good.
    Good,
    /// Somebody else's.
    Foreign,
}

/// What a file holds.
#[derive(Clone, Copy)]
enum Holds {
    Authority,
    Certificate,
    Key,
    /// A key that QEMU's user reads.
    QemuKey,
}

const LIBVIRT: &[(&str, Holds)] = &[
    ("libvirt/private/serverkey.pem", Holds::Key),
    ("libvirt/servercert.pem", Holds::Certificate),
    ("libvirt/private/clientkey.pem", Holds::Key),
    ("libvirt/clientcert.pem", Holds::Certificate),
    ("CA/cacert.pem", Holds::Authority),
];
const QEMU: &[(&str, Holds)] = &[
    ("qemu/server-key.pem", Holds::QemuKey),
    ("qemu/server-cert.pem", Holds::Certificate),
    ("qemu/client-key.pem", Holds::QemuKey),
    ("qemu/client-cert.pem", Holds::Certificate),
    ("qemu/ca-cert.pem", Holds::Authority),
];

impl HypervisorCertificates {
    /// Never ends.
    pub async fn keep(mut self) {
        let mut place = HypervisorFiles {
            root: PathBuf::from(PLACE),
            qemu_group: qemu_group(Path::new("/etc/group")),
            addresses: BTreeSet::new(),
        };
        let mut told = false;
        loop {
            place
                .addresses
                .clone_from(&self.addresses.borrow_and_update());
            let installed = is_installed(Path::new(INSTALLED), &self.sockets);
            let foreign = installed && place.foreign();
            if foreign && !told {
                tracing::info!(
                    place = PLACE,
                    "libvirt or QEMU has certificates of somebody else; those are left alone"
                );
            }
            told = foreign;
            let wait = if installed && place.wants() {
                match self.renew(&place).await {
                    Ok(()) => LOOK,
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn Error,
                            "the hypervisor's certificate was not renewed yet"
                        );
                        AGAIN
                    }
                }
            } else if installed {
                LOOK
            } else {
                AGAIN
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // The daemon that knows them has ended: nothing changes any more.
                Ok(()) = self.addresses.changed() => {}
            }
        }
    }

    async fn renew(&self, place: &HypervisorFiles) -> Result<(), Failure> {
        let key = KeyRequest::generate()?;
        let reply = self.link.certify_hypervisor(key.request()).await?;
        place.write(&Shown {
            certificate: &reply.certificate,
            key: key.key(),
            authority: &reply.authority,
        })?;
        tracing::info!(place = PLACE, "the hypervisor has a new certificate");
        for (socket, uri) in LISTENERS {
            if Path::new(socket).exists() {
                tell(uri).await;
            }
        }
        Ok(())
    }
}

fn is_installed(directory: &Path, sockets: &[PathBuf]) -> bool {
    directory.exists() || sockets.iter().any(|socket| socket.exists())
}

/// What listens with TLS reads its certificate anew. What does not listen, or is of a release before 6.2, has none to read.
async fn tell(uri: &str) {
    let asked = Command::new("virt-admin")
        .args(["-c", uri, "server-update-tls", "libvirtd"])
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(Duration::from_secs(20), asked).await {
        Ok(Ok(said)) if said.status.success() => {}
        Ok(Ok(said)) => {
            let why = String::from_utf8_lossy(&said.stderr);
            tracing::debug!(uri, why = why.trim(), "it reads no new certificate");
        }
        Ok(Err(error)) => tracing::debug!(uri, %error, "it is not told of the new certificate"),
        Err(_) => tracing::warn!(uri, "it does not answer"),
    }
}

impl HypervisorFiles {
    fn foreign(&self) -> bool {
        [LIBVIRT, QEMU]
            .iter()
            .any(|set| self.whose(set) == Whose::Foreign)
    }

    fn wants(&self) -> bool {
        [LIBVIRT, QEMU]
            .iter()
            .any(|set| self.whose(set) == Whose::Wanting)
    }

    fn whose(&self, set: &[(&str, Holds)]) -> Whose {
        let texts: Vec<Option<String>> = set
            .iter()
            .map(|(name, _)| match fs::read_to_string(self.root.join(name)) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                // What cannot be read is surely not ours.
                Err(_) => Some(String::new()),
            })
            .collect();
        if texts.iter().flatten().any(|text| !text.starts_with(OURS)) {
            return Whose::Foreign;
        }
        let pairs = texts[..4].chunks(2).all(|pair| {
            let (Some(key), Some(certificate)) = (&pair[0], &pair[1]) else {
                return false;
            };
            Credentials::from_pem(certificate, key).is_ok()
                && addresses_in(certificate).is_superset(&self.addresses)
        });
        let fresh = set.iter().all(|(name, _)| {
            let written = fs::metadata(self.root.join(name)).and_then(|it| it.modified());
            // Written in the future: a clock was wrong.
            written.is_ok_and(|written| {
                SystemTime::now()
                    .duration_since(written)
                    .is_ok_and(|age| age < OLD)
            })
        });
        if pairs && fresh {
            Whose::Good
        } else {
            Whose::Wanting
        }
    }

    /// Writes what is wanting, and leaves alone what is somebody else's.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, shown: &Shown<'_>) -> io::Result<()> {
        for set in [LIBVIRT, QEMU] {
            if self.whose(set) != Whose::Wanting {
                continue;
            }
            for (name, holds) in set {
                let (text, mode, group) = match holds {
                    Holds::Authority => (shown.authority, 0o644, None),
                    Holds::Certificate => (shown.certificate, 0o644, None),
                    Holds::Key => (shown.key, 0o600, None),
                    Holds::QemuKey if self.qemu_group.is_some() => {
                        (shown.key, 0o640, self.qemu_group)
                    }
                    Holds::QemuKey => (shown.key, 0o600, None),
                };
                let path = self.root.join(name);
                replace(&path, text, mode, group).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
            }
        }
        Ok(())
    }
}

/// Replaces the file as a whole. It is closed to others until it is complete.
fn replace(path: &Path, text: &str, mode: u32, group: Option<u32>) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut builder = fs::DirBuilder::new();
    let private = directory.ends_with("private");
    builder
        .recursive(true)
        .mode(if private { 0o700 } else { 0o755 });
    // The daemon's own mask closes everything to others; these are for others' programs.
    if !directory.exists() {
        builder.create(directory)?;
        fs::set_permissions(directory, permissions(if private { 0o700 } else { 0o755 }))?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let staged = path.with_file_name(name);
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&staged)?;
    file.write_all(OURS.as_bytes())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if let Some(group) = group {
        chown(&staged, None, Some(group))?;
    }
    fs::set_permissions(&staged, permissions(mode))?;
    fs::rename(&staged, path)
}

fn permissions(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

fn qemu_group(groups: &Path) -> Option<u32> {
    let text = fs::read_to_string(groups).ok()?;
    QEMU_GROUPS.iter().find_map(|wanted| {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(wanted)).then_some(())?;
            fields.nth(1)?.parse().ok()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_identity::{Authority, SystemClock};
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;

    struct Story {
        directory: tempfile::TempDir,
        authority: Authority,
    }

    impl Story {
        fn new() -> Self {
            Self {
                directory: tempfile::tempdir().expect("a directory"),
                authority: Authority::create("anvil", Arc::new(SystemClock)).expect("one"),
            }
        }

        fn place(&self) -> HypervisorFiles {
            HypervisorFiles {
                root: self.directory.path().to_owned(),
                qemu_group: None,
                addresses: BTreeSet::new(),
            }
        }

        fn renewed(&self) -> String {
            self.renewed_for(&[])
        }

        fn renewed_for(&self, addresses: &[IpAddr]) -> String {
            let hypervisors = self.authority.hypervisors().expect("one");
            let key = KeyRequest::generate().expect("a key");
            let certificate = hypervisors
                .issue(key.request(), "an-a01n01", addresses)
                .expect("signed");
            let shown = Shown {
                certificate: &certificate,
                key: key.key(),
                authority: &hypervisors.certificate_pem(),
            };
            let place = HypervisorFiles {
                addresses: addresses.iter().copied().collect(),
                ..self.place()
            };
            place.write(&shown).expect("written");
            certificate
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.directory.path().join(name)).expect("there")
        }

        fn mode(&self, name: &str) -> u32 {
            let path = self.directory.path().join(name);
            fs::metadata(path).expect("there").mode() & 0o777
        }
    }

    #[test]
    fn a_libvirt_that_waits_for_its_certificates_is_installed() {
        let place = tempfile::tempdir().expect("a directory");
        let (etc, socket) = (place.path().join("libvirt"), place.path().join("sock"));
        assert!(!is_installed(&etc, std::slice::from_ref(&socket)));
        fs::create_dir(&etc).expect("made");
        assert!(
            is_installed(&etc, std::slice::from_ref(&socket)),
            "no socket yet"
        );
        fs::remove_dir(&etc).expect("removed");
        fs::write(&socket, "").expect("made");
        assert!(is_installed(&etc, &[socket]), "built elsewhere");
    }

    #[test]
    fn what_is_missing_is_written_where_libvirt_and_qemu_look() {
        let story = Story::new();
        assert!(story.place().wants());
        let certificate = story.renewed();
        for name in [
            "libvirt/servercert.pem",
            "libvirt/clientcert.pem",
            "qemu/server-cert.pem",
            "qemu/client-cert.pem",
        ] {
            assert_eq!(story.read(name), format!("{OURS}{certificate}"), "{name}");
            assert_eq!(story.mode(name), 0o644, "{name}");
        }
        assert!(story.read("CA/cacert.pem").contains("BEGIN CERTIFICATE"));
        assert_eq!(story.mode("libvirt/private/serverkey.pem"), 0o600);
        assert_eq!(story.mode("libvirt/private"), 0o700);
        assert_eq!(story.mode("qemu/server-key.pem"), 0o600);
        assert!(!story.place().wants());
        assert!(!story.place().foreign());
    }

    #[test]
    fn what_is_broken_or_a_day_old_is_replaced() {
        let story = Story::new();
        let first = story.renewed();
        // As after a crash between a key and its certificate.
        let other = KeyRequest::generate().expect("a key");
        let path = story.directory.path().join("qemu/server-key.pem");
        fs::write(&path, format!("{OURS}{}", other.key())).expect("written");
        assert!(story.place().wants());
        assert_eq!(story.place().whose(LIBVIRT), Whose::Good);
        let second = story.renewed();
        assert!(!story.place().wants());
        assert!(story.read("qemu/server-cert.pem").ends_with(&second));
        assert!(
            story.read("libvirt/servercert.pem").ends_with(&first),
            "it was good"
        );

        let yesterday = SystemTime::now() - OLD;
        let file = fs::File::open(story.directory.path().join("libvirt/servercert.pem"));
        file.and_then(|file| file.set_modified(yesterday))
            .expect("an old file");
        assert_eq!(story.place().whose(LIBVIRT), Whose::Wanting);
        assert_eq!(story.place().whose(QEMU), Whose::Good);
    }

    #[test]
    fn a_host_that_is_reached_at_another_address_has_a_new_certificate_at_once() {
        let story = Story::new();
        let [first, second] = ["10.10.0.1", "fd00::1"].map(|it| it.parse().expect("an address"));
        let place = |addresses: &[IpAddr]| HypervisorFiles {
            addresses: addresses.iter().copied().collect(),
            ..story.place()
        };
        story.renewed_for(&[first]);
        assert!(!place(&[first]).wants());
        assert!(place(&[first, second]).wants());
        let renewed = story.renewed_for(&[first, second]);
        assert_eq!(
            story.read("libvirt/servercert.pem"),
            format!("{OURS}{renewed}")
        );
        assert!(!place(&[first, second]).wants());
        assert!(!place(&[second]).wants(), "one too many does no harm");
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let story = Story::new();
        let own = story.directory.path().join("CA/cacert.pem");
        fs::create_dir_all(own.parent().expect("a directory")).expect("made");
        fs::write(&own, "-----BEGIN CERTIFICATE-----\n").expect("written");
        assert!(story.place().foreign());
        story.renewed();
        assert_eq!(story.read("CA/cacert.pem"), "-----BEGIN CERTIFICATE-----\n");
        let libvirts = story.directory.path().join("libvirt/servercert.pem");
        assert!(!libvirts.exists(), "half of ours would fit nothing");
        assert_eq!(story.place().whose(QEMU), Whose::Good);
        assert!(!story.place().wants());
    }

    #[test]
    fn qemus_group_is_found_by_the_names_that_distributions_use() {
        let directory = tempfile::tempdir().expect("a directory");
        let groups = directory.path().join("group");
        fs::write(&groups, "root:x:0:\nqemux:x:5:\nqemu:x:107:a,b\n").expect("written");
        assert_eq!(qemu_group(&groups), Some(107));
        fs::write(&groups, "root:x:0:\n").expect("written");
        assert_eq!(qemu_group(&groups), None);
    }
}
