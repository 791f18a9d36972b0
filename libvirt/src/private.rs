//! A libvirt daemon of one's own, for tests: real, with its own drivers and its own QEMU, and out of sight of the machine's.
//! It lives in namespaces, so that it leaves nothing behind and needs nothing of the machine's configuration.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use thiserror::Error;

/// How long a daemon may take to listen, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no daemon. A test that meets it prints it, and is skipped.
#[derive(Debug, Error)]
pub enum NoDaemon {
    /// It is not installed.
    #[error(
        "{0} is not installed (packages libvirt-daemon, libvirt-daemon-driver-qemu, qemu-system-x86)"
    )]
    NotInstalled(&'static str),
    /// It could not be put up.
    #[error("a libvirt daemon of one's own cannot be put up: {0}")]
    Failed(String),
}

/// The daemon. It ends with this, and every guest with it.
#[derive(Debug)]
pub struct PrivateDaemon {
    host: String,
    tls_port: Option<u16>,
    directory: TempDir,
    process: Option<Child>,
}

const PROGRAMS: [&str; 3] = [
    "/usr/sbin/libvirtd",
    "/usr/bin/qemu-system-x86_64",
    "/usr/bin/unshare",
];

impl PrivateDaemon {
    /// A daemon on a host that calls itself `host`.
    ///
    /// # Errors
    /// When this machine has none, or may not have one.
    pub fn start(host: &str) -> Result<Self, NoDaemon> {
        Self::put_up(host, None, |_| Ok(()))
    }

    /// The same, which also listens with TLS on that port of loopback. `certificates` writes what the daemon and its guests find in
    /// `/etc/pki`.
    ///
    /// # Errors
    /// When this machine has none, or may not have one.
    pub fn start_with_tls(
        host: &str,
        port: u16,
        certificates: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<Self, NoDaemon> {
        Self::put_up(host, Some(port), certificates)
    }

    fn put_up(
        host: &str,
        tls_port: Option<u16>,
        certificates: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<Self, NoDaemon> {
        for program in PROGRAMS {
            if !Path::new(program).exists() {
                return Err(NoDaemon::NotInstalled(program));
            }
        }
        let directory = tempfile::Builder::new()
            .prefix("libvirt-")
            .tempdir()
            .map_err(failed)?;
        let mut daemon = Self {
            host: host.to_owned(),
            tls_port,
            directory,
            process: None,
        };
        fs::create_dir(daemon.path("pki")).map_err(failed)?;
        certificates(&daemon.path("pki")).map_err(failed)?;
        daemon.prepare().map_err(failed)?;
        daemon.begin()?;
        Ok(daemon)
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("libvirt-sock")
    }

    /// A place that the daemon and its guests see as well.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The process that `libvirtd` is, as this machine counts.
    ///
    /// # Panics
    /// When it does not run: then the test has gone wrong.
    #[must_use]
    pub fn process(&self) -> u32 {
        let unshare = self.process.as_ref().expect("it was started").id();
        let shell = children(unshare).next().expect("it runs");
        children(shell)
            .find(|process| {
                fs::read_to_string(format!("/proc/{process}/comm"))
                    .is_ok_and(|name| name == "libvirtd\n")
            })
            .expect("libvirtd runs")
    }

    fn prepare(&self) -> io::Result<()> {
        let directory = self.directory.path().display();
        let uuid = self.host.bytes().fold(1_u64, |sum, byte| {
            sum.wrapping_mul(257).wrapping_add(byte.into())
        });
        let port = self.tls_port.unwrap_or_default();
        fs::write(
            self.path("libvirtd.conf"),
            format!(
                "unix_sock_dir = \"{directory}\"\nauth_unix_rw = \"none\"\n\
                 listen_addr = \"127.0.0.1\"\ntls_port = \"{port}\"\n\
                 host_uuid = \"5c1f6a5e-0001-4000-8000-{:012x}\"\n\
                 log_outputs = \"2:file:{directory}/log\"\n",
                uuid & 0xffff_ffff_ffff
            ),
        )?;
        fs::write(
            self.path("qemu.conf"),
            "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nremember_owner = 0\n\
             namespaces = []\ncgroup_controllers = []\nstdio_handler = \"file\"\n",
        )?;
        // libvirt asks for its user before it reads that another is configured.
        let with =
            |file: &str, line: &str| fs::read_to_string(file).map(|text| format!("{text}{line}\n"));
        fs::write(
            self.path("passwd"),
            with(
                "/etc/passwd",
                "libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin",
            )?,
        )?;
        fs::write(
            self.path("group"),
            with("/etc/group", "libvirt-qemu:x:64055:")?,
        )?;
        let mut script = String::from("set -e\n");
        for place in [
            "/etc/libvirt",
            "/var/lib/libvirt",
            "/var/cache/libvirt",
            "/var/log/libvirt",
            "/run/libvirt",
        ] {
            let kept = place.replace('/', "_");
            // A fmt::Write to a String does not fail.
            let _ = writeln!(
                script,
                "mkdir -p {place} {directory}/{kept}; mount --bind {directory}/{kept} {place}"
            );
        }
        let listen = if self.tls_port.is_some() {
            // A fmt::Write to a String does not fail.
            let _ = writeln!(
                script,
                "mkdir -p /etc/pki; mount --bind {directory}/pki /etc/pki"
            );
            "--listen"
        } else {
            ""
        };
        let _ = writeln!(
            script,
            "mount --bind {directory}/passwd /etc/passwd\nmount --bind {directory}/group /etc/group\n\
             cp {directory}/qemu.conf /etc/libvirt/\nhostname {}\n\
             while :; do libvirtd {listen} -f {directory}/libvirtd.conf -p {directory}/pid || true; sleep 0.1; done",
            self.host
        );
        fs::write(self.path("begin"), script)
    }

    fn begin(&mut self) -> Result<(), NoDaemon> {
        let said = fs::File::create(self.path("said")).map_err(failed)?;
        let process = Command::new("/usr/bin/unshare")
            .args([
                "--mount",
                "--uts",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child",
                "sh",
            ])
            .arg(self.path("begin"))
            .stdin(Stdio::null())
            .stdout(said.try_clone().map_err(failed)?)
            .stderr(said)
            .spawn()
            .map_err(failed)?;
        self.process = Some(process);
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            let ended = self
                .process
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let said = fs::read_to_string(self.path("said")).unwrap_or_default();
                return Err(NoDaemon::Failed(said));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

fn children(process: u32) -> impl Iterator<Item = u32> {
    let listed = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    listed
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|process| process.parse().ok())
        .collect::<Vec<_>>()
        .into_iter()
}

fn failed(error: io::Error) -> NoDaemon {
    NoDaemon::Failed(error.to_string())
}

impl Drop for PrivateDaemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.process {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
