//! A host that has booted once, for ever: restored in a fraction of a second where a boot takes a quarter of a minute.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cache::{Cache, key};
use crate::error::{LabError, OnFile, explain};
use crate::hardware::{Accelerator, Hardware, Memory, Parts, Watchdog, data_disk};
use crate::image::Image;
use crate::initrd::{self, GuestFiles};
use crate::programs::{contained, run};
use crate::progress::Progress;
use crate::qmp::{Qmp, connect_when_there};

/// The last line of a host's boot; the agent is started right after it.
const BOOTED: &str = "lab: host is up";

/// The first line that our own program in the RAM disk prints.
const KERNEL_WORKS: &str = "lab: kernel is up";

/// A boot that takes longer than this on the slowest machine has hung.
const BOOT_PATIENCE: Duration = Duration::from_secs(600);

/// A working KVM boots a kernel in a second.
const KVM_PATIENCE: Duration = Duration::from_secs(15);

/// The size of the disk that keeps a host's own files over a power cycle.
const STATE_DISK: &str = "2G";

/// A booted host in the cache.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Template {
    /// The image that it has booted.
    pub image: Image,
    /// What it is made of.
    pub hardware: Hardware,
    directory: PathBuf,
}

impl Template {
    /// The template from the cache, made when it is not there yet (about half a minute).
    pub async fn obtain(
        cache: &Cache,
        image: Image,
        hardware: Hardware,
        agent: &Path,
        progress: &Progress,
    ) -> Result<Template, LabError> {
        let guest = GuestFiles::load(agent)?;
        let initrd = initrd::build(&image.boot_files(), &guest)?;
        let version = run(Command::new("qemu-system-x86_64").arg("--version")).await?;
        let mut shape = Command::new("shape");
        hardware.command(&mut shape, &parts_for_key());
        let name = format!(
            "template-{}",
            key(&[
                image.name().as_bytes(),
                &initrd,
                version.as_bytes(),
                format!(
                    "{:?} {:?} {STATE_DISK}",
                    shape.as_std(),
                    hardware.data_disks_mib
                )
                .as_bytes(),
            ])
        );
        let directory = cache
            .entry(&name, progress, async |draft: PathBuf| {
                progress.step("booting a host to make the template");
                make(&draft, &image, &hardware, &initrd).await?;
                progress.step("the template is whole");
                Ok(())
            })
            .await?;
        Ok(Template {
            image,
            hardware,
            directory,
        })
    }

    /// The initial RAM disk, for cold boots.
    #[must_use]
    pub fn initrd(&self) -> PathBuf {
        self.directory.join("initrd")
    }

    /// The memory of the booted host.
    #[must_use]
    pub fn memory(&self) -> PathBuf {
        self.directory.join("memory")
    }

    /// The state of its devices.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Makes the disks of a new host: a formatted one for its own files, empty ones for data.
    pub async fn make_disks(&self, directory: &Path) -> Result<(), LabError> {
        let blank = self.directory.join("state.img");
        run(Command::new("cp")
            .arg("--sparse=always")
            .arg(&blank)
            .arg(directory.join("state.img")))
        .await?;
        make_data_disks(directory, &self.hardware)
    }
}

fn make_data_disks(directory: &Path, hardware: &Hardware) -> Result<(), LabError> {
    for (index, mib) in hardware.data_disks_mib.iter().enumerate() {
        let path = directory.join(format!("{}.img", data_disk(index)));
        let file = File::create(&path).on("create", &path)?;
        file.set_len(u64::from(*mib) << 20).on("size", &path)?;
    }
    Ok(())
}

fn parts_for_key() -> Parts<'static> {
    Parts {
        root: Path::new(""),
        kernel: Path::new(""),
        initrd: Path::new(""),
        directory: Path::new(""),
        memory: Memory::Fresh,
        tap_prefix: "",
        watchdog: Watchdog::Reset,
        kernel_arguments: "",
        bmc: None,
    }
}

async fn make(
    draft: &Path,
    image: &Image,
    hardware: &Hardware,
    initrd: &[u8],
) -> Result<(), LabError> {
    let initrd_file = draft.join("initrd");
    fs::write(&initrd_file, initrd).on("write", &initrd_file)?;
    let state_disk = draft.join("state.img");
    let scratch = draft.join("scratch");
    fs::create_dir(&scratch).on("create", &scratch)?;
    run(Command::new("mkfs.ext4")
        .args([
            "-q",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1",
            "-J",
            "size=8",
        ])
        .arg(&state_disk)
        .arg(STATE_DISK))
    .await?;
    fs::copy(&state_disk, scratch.join("state.img")).on("copy", &state_disk)?;
    make_data_disks(&scratch, hardware)?;

    let memory = draft.join("memory");
    let mut machine = boot(
        image,
        hardware,
        &initrd_file,
        &scratch,
        Memory::Template(&memory),
    )?;
    wait_for_line(&mut machine, &scratch, BOOTED, BOOT_PATIENCE).await?;
    let (qmp, _) = Qmp::connect(&scratch.join("qmp.sock")).await?;
    wait_for_agent(&scratch.join("agent.sock")).await?;
    qmp.execute("stop", json!({})).await?;
    snapshot(&qmp, &draft.join("state")).await?;
    // It may be gone before it can answer.
    let _ = qmp.execute("quit", json!({})).await;
    machine.wait().await.on("end QEMU in", &scratch)?;
    crate::cache::remove_tree(&scratch)
}

async fn snapshot(qmp: &Qmp, file: &Path) -> Result<(), LabError> {
    ignore_memory(qmp).await?;
    qmp.execute(
        "migrate",
        json!({ "uri": format!("exec:cat > {}", file.display()) }),
    )
    .await?;
    wait_for_migration(qmp).await
}

/// The memory stays in its file: only the state of the devices is carried over.
pub(crate) async fn ignore_memory(qmp: &Qmp) -> Result<(), LabError> {
    let capability = json!([{ "capability": "x-ignore-shared", "state": true }]);
    qmp.execute(
        "migrate-set-capabilities",
        json!({ "capabilities": capability }),
    )
    .await
    .map(drop)
}

pub(crate) async fn wait_for_migration(qmp: &Qmp) -> Result<(), LabError> {
    loop {
        let answer = qmp.execute("query-migrate", json!({})).await?;
        match answer["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => {
                return Err(LabError::Qemu {
                    command: "migrate".to_owned(),
                    reason: answer.to_string(),
                });
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn boot(
    image: &Image,
    hardware: &Hardware,
    initrd: &Path,
    scratch: &Path,
    memory: Memory<'_>,
) -> Result<Child, LabError> {
    let mut command = contained("qemu-system-x86_64", true);
    let parts = Parts {
        root: &image.root(),
        kernel: &image.kernel(),
        initrd,
        directory: scratch,
        memory,
        tap_prefix: "",
        watchdog: Watchdog::Reset,
        kernel_arguments: "",
        bmc: None,
    };
    hardware.command(&mut command, &parts);
    let log = scratch.join("qemu.log");
    let output = File::create(&log).on("create", &log)?;
    command.stderr(output).spawn().on("start QEMU in", scratch)
}

async fn wait_for_line(
    machine: &mut Child,
    scratch: &Path,
    marker: &str,
    patience: Duration,
) -> Result<(), LabError> {
    let mut seen = Vec::new();
    let found = tokio::time::timeout(patience, async {
        let console =
            connect_when_there(&scratch.join("console.sock"), Duration::from_secs(60)).await?;
        let mut lines = BufReader::new(console).lines();
        while let Some(line) = lines
            .next_line()
            .await
            .on("read", scratch.join("console.sock"))?
        {
            if line.contains(marker) {
                return Ok::<bool, LabError>(true);
            }
            let hopeless = line.contains("Kernel panic");
            seen.push(line);
            if hopeless {
                machine.start_kill().on("kill QEMU in", scratch)?;
            }
        }
        Ok(false)
    })
    .await;
    let tail = |seen: &[String]| seen[seen.len().saturating_sub(15)..].join("\n");
    match found {
        Ok(Ok(true)) => Ok(()),
        Err(_) => {
            // It is killed, with the namespaces around it, when the caller drops it.
            Err(LabError::TimedOut {
                condition: format!("{marker:?} on the console of a booting host"),
                after: patience,
                last_seen: tail(&seen),
            })
        }
        Ok(_) => {
            let status = machine.wait().await.on("wait for QEMU in", scratch)?;
            let complaint = fs::read_to_string(scratch.join("qemu.log")).unwrap_or_default();
            Err(LabError::Program {
                command: "qemu-system-x86_64".to_owned(),
                status: status.to_string(),
                output: format!("{complaint}\n{}", tail(&seen)),
            })
        }
    }
}

/// The agent waits for its first frame when the snapshot is taken.
async fn wait_for_agent(socket: &Path) -> Result<(), LabError> {
    let mut link = crate::agent::Link::connect(socket).await?;
    link.wait_until_awake(BOOT_PATIENCE).await
}

/// Whether KVM runs a kernel here. Some have `/dev/kvm` and hang; that is found out once per machine, and kept.
pub(crate) async fn choose_accelerator(
    cache: &Cache,
    image: &Image,
    agent: &Path,
    progress: &Progress,
) -> Result<Accelerator, LabError> {
    if File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_err()
    {
        return Ok(Accelerator::Tcg);
    }
    let version = fs::read("/proc/version").unwrap_or_default();
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find(|line| line.starts_with("model name"))
        .unwrap_or_default();
    let name = format!("kvm-{}", key(&[&version, model.as_bytes()]));
    let tried = cache
        .entry(&name, progress, async |draft: PathBuf| {
            progress.step("trying whether KVM boots a kernel here");
            let scratch = draft.join("scratch");
            fs::create_dir(&scratch).on("create", &scratch)?;
            let works = kvm_works(try_kvm(&scratch, image, agent).await)?;
            crate::cache::remove_tree(&scratch)?;
            progress.step(if works {
                "KVM works"
            } else {
                "KVM does not boot a kernel here; translating instead"
            });
            fs::write(draft.join("works"), works.to_string()).on("write", draft.join("works"))
        })
        .await;
    let verdict = match tried {
        // Nothing is known of KVM then, and nothing kept.
        Err(error) => {
            progress.step(&format!(
                "KVM could not be tried: {}; translating instead",
                explain(&error)
            ));
            return Ok(Accelerator::Tcg);
        }
        Ok(verdict) => verdict,
    };
    let works = fs::read_to_string(verdict.join("works")).on("read", verdict.join("works"))?;
    Ok(if works == "true" {
        Accelerator::Kvm
    } else {
        Accelerator::Tcg
    })
}

/// What a trial says of KVM: a kernel that hung or panicked, or a QEMU that KVM has refused, is a verdict; anything else that went wrong is none.
fn kvm_works(trial: Result<(), LabError>) -> Result<bool, LabError> {
    match trial {
        Ok(()) => Ok(true),
        Err(LabError::TimedOut { .. }) => Ok(false),
        Err(LabError::Program { output, .. })
            if output.contains("Kernel panic") || output.to_lowercase().contains("kvm") =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn try_kvm(scratch: &Path, image: &Image, agent: &Path) -> Result<(), LabError> {
    let guest = GuestFiles::load(agent)?;
    let initrd = scratch.join("initrd");
    fs::write(&initrd, initrd::build(&image.boot_files(), &guest)?).on("write", &initrd)?;
    fs::write(scratch.join("state.img"), []).on("write", scratch.join("state.img"))?;
    let hardware = Hardware {
        accelerator: Accelerator::Kvm,
        memory_mib: 256,
        data_disks_mib: Vec::new(),
    };
    let mut machine = boot(image, &hardware, &initrd, scratch, Memory::Fresh)?;
    wait_for_line(&mut machine, scratch, KERNEL_WORKS, KVM_PATIENCE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that listens on its console and says this.
    async fn tried(says: &str, patience: Duration) -> Result<(), LabError> {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("console.sock");
        let console = tokio::net::UnixListener::bind(&path).expect("free");
        let mut machine = Command::new("sleep")
            .arg("1000")
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let says = says.to_owned();
        let speaker = tokio::spawn(async move {
            let (mut stream, _) = console.accept().await.expect("somebody listens");
            tokio::io::AsyncWriteExt::write_all(&mut stream, says.as_bytes())
                .await
                .expect("said");
            // Whoever has killed it hears no more; a machine that hangs stays.
            if !says.contains("panic") {
                std::future::pending::<()>().await;
            }
        });
        let heard = wait_for_line(&mut machine, scratch.path(), KERNEL_WORKS, patience).await;
        speaker.abort();
        heard
    }

    #[tokio::test]
    async fn a_kvm_that_hangs_is_given_up_and_one_that_panics_is_not_waited_for() {
        let long = Duration::from_secs(600);
        let works = tried(&format!("{KERNEL_WORKS}\n"), long).await;
        assert!(kvm_works(works).expect("a verdict"));
        let hangs = tried("Booting\n", Duration::from_millis(200)).await;
        assert!(matches!(hangs, Err(LabError::TimedOut { .. })), "{hangs:?}");
        assert!(!kvm_works(hangs).expect("a verdict"));
        let panics = tried("Kernel panic - not syncing\n", long).await;
        assert!(!kvm_works(panics).expect("a verdict"));
    }

    #[test]
    fn what_has_nothing_to_do_with_kvm_is_no_verdict() {
        let full = Err::<(), _>(std::io::Error::other("no space left")).on("write", "initrd");
        kvm_works(full).expect_err("it may work when there is room");
    }
}
