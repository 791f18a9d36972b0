//! What this machine is, as the kernel says it.

use super::command::{Processes, Run};
use super::dlm::Dlm;
use super::drbd::{self, Drbd};
use super::interfaces::Interfaces;
use super::lvm::Lvm;
use super::mounts::{Mounts, Places};
use super::{
    Doing, DriverError, Drivers, Facts, Hints, HostFacts, LibvirtGuests, LibvirtSettings, Trouble,
};
use futures_util::StreamExt;
use futures_util::stream;
use quorate_crds::{Hypervisor, NodeResources, Size, Versions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The drivers of the machine that this runs on; what they keep until the next boot is kept in `run_dir`. A program or a
/// module that is missing is named when it is needed; what this release cannot do is refused with a reason.
#[must_use]
pub fn of_this_host(run_dir: &Path, libvirt: LibvirtSettings) -> Drivers {
    let run: Arc<dyn Run> = Arc::new(Processes::default());
    let pools = Arc::new(Lvm::new(Arc::clone(&run)));
    let replication = Drbd::new(
        Arc::clone(&run),
        pools.clone(),
        drbd::Host {
            directory: run_dir.join("drbd"),
            sys: PathBuf::from("/sys"),
            dev: PathBuf::from("/dev"),
            handler: PathBuf::from("/usr/lib/quorate/quorate-drbd-handler"),
            hostname: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
        },
    );
    Drivers {
        networks: Arc::new(Interfaces::of_this_host()),
        pools,
        replication: Arc::new(replication),
        filesystems: Arc::new(Mounts::new(
            Arc::clone(&run),
            Places {
                proc: PathBuf::from("/proc"),
                sys: PathBuf::from("/sys"),
                kept: run_dir.join("mounts.json"),
            },
        )),
        lockspaces: Arc::new(Dlm::of_this_machine(run, run_dir.join("dlm.json"))),
        facts: Arc::new(ThisHost {
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
            dev: PathBuf::from("/dev"),
            libvirt: libvirt.sockets.clone(),
        }),
        guests: Arc::new(LibvirtGuests::new(libvirt)),
    }
}

struct ThisHost {
    proc: PathBuf,
    sys: PathBuf,
    dev: PathBuf,
    libvirt: Vec<PathBuf>,
}

impl ThisHost {
    async fn read(&self, path: &str) -> Result<String, DriverError> {
        let path = self.proc.join(path);
        tokio::fs::read_to_string(&path)
            .await
            .map_err(|error| unreadable(&path).because(error))
    }

    /// None while the module is not loaded.
    async fn drbd(&self) -> Option<String> {
        let path = self.sys.join("module/drbd/version");
        let version = tokio::fs::read_to_string(path).await.ok()?;
        Some(version.trim().to_owned())
    }

    /// None is known without libvirt: it may be installed in a moment.
    async fn hypervisors(&self) -> Vec<Hypervisor> {
        if !self.libvirt.iter().any(|socket| socket.exists()) {
            return Vec::new();
        }
        // It opens where the processor can, and the module is loaded: QEMU asks no more.
        let kvm = tokio::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.dev.join("kvm"))
            .await;
        let mut all = vec![Hypervisor::Qemu];
        if kvm.is_ok() {
            all.insert(0, Hypervisor::Kvm);
        }
        all
    }
}

fn unreadable(path: &Path) -> DriverError {
    DriverError::passing(
        Trouble::UnknownAnswer,
        format!("{} cannot be read", path.display()),
    )
}

impl Facts for ThisHost {
    fn boot_id(&self) -> Doing<'_, String> {
        Box::pin(async move {
            let text = self.read("sys/kernel/random/boot_id").await?;
            Ok(text.trim().to_owned())
        })
    }

    fn observe(&self) -> Doing<'_, HostFacts> {
        Box::pin(async move {
            let memory = memory(&self.read("meminfo").await?)
                .ok_or_else(|| unreadable(&self.proc.join("meminfo")))?;
            Ok(HostFacts {
                capacity: Some(NodeResources {
                    memory: Some(Size(format!("{}Mi", memory >> 20))),
                    cpus: processors(&self.read("cpuinfo").await?),
                    guests: None,
                }),
                versions: Some(Versions {
                    quorate: Some(env!("CARGO_PKG_VERSION").to_owned()),
                    kernel: Some(self.read("sys/kernel/osrelease").await?.trim().to_owned()),
                    drbd: self.drbd().await,
                    feature_level: Some(quorate_proto::FEATURE_LEVEL),
                    program_locks: Some(crate::locks::FORM),
                    ..Versions::default()
                }),
                hypervisors: self.hypervisors().await,
                ..HostFacts::default()
            })
        })
    }

    /// None of this changes while the kernel runs.
    fn watch(&self) -> Hints {
        stream::pending().boxed()
    }
}

fn memory(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// None on machines whose kernel does not list them.
fn processors(text: &str) -> Option<u32> {
    let listed = text.lines().filter(|line| {
        line.split_once(':')
            .is_some_and(|(field, _)| field.trim() == "processor")
    });
    u32::try_from(listed.count())
        .ok()
        .filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_says_what_it_has() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write("meminfo", "MemTotal:       65536000 kB\nMemFree: 1 kB\n");
        write("cpuinfo", "processor\t: 0\nflags\t: x\n\nprocessor\t: 1\n");
        write("sys/kernel/osrelease", "6.1.0-18-amd64\n");
        write("sys/kernel/random/boot_id", "2f0e\n");
        write("module/drbd/version", "8.4.11\n");
        let host = ThisHost {
            proc: dir.path().to_owned(),
            sys: dir.path().to_owned(),
            dev: dir.path().to_owned(),
            libvirt: vec![dir.path().join("virtqemud-sock")],
        };
        assert_eq!(host.boot_id().await.expect("readable"), "2f0e");
        let facts = host.observe().await.expect("readable");
        let capacity = facts.capacity.expect("known");
        assert_eq!(capacity.memory, Some(Size("64000Mi".into())));
        assert_eq!(capacity.cpus, Some(2));
        let versions = facts.versions.expect("known");
        assert_eq!(versions.kernel.as_deref(), Some("6.1.0-18-amd64"));
        assert_eq!(versions.drbd.as_deref(), Some("8.4.11"));

        assert_eq!(facts.hypervisors, [], "nobody knows without libvirt");
        write("virtqemud-sock", "");
        let facts = host.observe().await.expect("readable");
        assert_eq!(facts.hypervisors, [Hypervisor::Qemu]);
        write("kvm", "");
        let facts = host.observe().await.expect("readable");
        assert_eq!(facts.hypervisors, [Hypervisor::Kvm, Hypervisor::Qemu]);

        write("meminfo", "MemTotal: much\n");
        let error = host.observe().await.expect_err("not a number");
        assert!(error.to_string().contains("meminfo"), "{error}");
    }

    #[tokio::test]
    async fn this_machine_can_be_described() {
        let facts = of_this_host(Path::new("/run/quorate-node"), LibvirtSettings::default()).facts;
        assert!(!facts.boot_id().await.expect("readable").is_empty());
        let capacity = facts.observe().await.expect("readable").capacity;
        assert!(capacity.expect("known").cpus.is_some());
    }
}
