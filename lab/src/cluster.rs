//! Quorate on the hosts of a room, brought there as an operator does it: packages installed, a cluster founded, members joined.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::description::address;
use crate::error::{LabError, OnFile};
use crate::host::Host;
use crate::progress::Progress;
use crate::room::Room;

/// The packages: the member, the daemons of a host, and the command line.
const NAMES: [&str; 3] = ["quorated", "quorate-node", "quorate"];

/// Where a package lies in a host while it is installed.
const INCOMING: &str = "/var/cache/quorate-lab";

/// What `quorate init` and `quorate join` make of a member.
const MEMBER_CONFIG: &str = "/etc/quorate/quorated.yaml";

/// What `quorate join` makes of a host that is to carry guests.
const HOST_CONFIG: &str = "/etc/quorate/node/node.yaml";

/// With this exit code the command line says that a change may or may not have been made.
const OUTCOME_UNKNOWN: u32 = 7;

/// With this one, that no member could be reached: nothing was changed.
const NOT_REACHED: u32 = 6;

/// How long a member may take for anything; the processors of a room are slow, and busy with all members.
const PATIENCE: Duration = Duration::from_secs(600);

/// Debian packages of Quorate, built by `make packages`.
#[derive(Debug, Clone)]
pub struct Packages {
    files: Vec<PathBuf>,
}

impl Packages {
    /// The newest package of each name in a directory.
    pub fn find(directory: &Path) -> Result<Packages, LabError> {
        let files = NAMES.iter().map(|name| newest(directory, name));
        Ok(Packages {
            files: files.collect::<Result<_, _>>()?,
        })
    }

    /// The files, in the order in which they are installed.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Installs or upgrades them with `dpkg`, without a mirror; returns what dpkg said.
    pub fn install(&self, host: Host<'_>) -> Result<String, LabError> {
        for file in &self.files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            host.copy_in(file, &format!("{INCOMING}/{name}"))?;
        }
        host.run(&format!(
            "export DEBIAN_FRONTEND=noninteractive; dpkg -i {INCOMING}/*.deb 2>&1 && rm -r {INCOMING}"
        ))
    }
}

fn newest(directory: &Path, name: &str) -> Result<PathBuf, LabError> {
    let mut found: Option<(SystemTime, PathBuf)> = None;
    for entry in fs::read_dir(directory).on("list", directory)? {
        let path = entry.on("list", directory)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if !(file.starts_with(&format!("{name}_")) && file.ends_with(".deb")) {
            continue;
        }
        let changed = fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .on("look at", &path)?;
        if found.as_ref().is_none_or(|(newest, _)| changed > *newest) {
            found = Some((changed, path));
        }
    }
    found
        .map(|(_, path)| path)
        .ok_or_else(|| LabError::Missing {
            what: format!("the package {name}_*.deb in {}", directory.display()),
            remedy: "build it with `make packages`".to_owned(),
        })
}

/// Starts units of these packages now and whenever their host starts, under either process 1.
fn start(host: Host<'_>, units: &str) -> Result<(), LabError> {
    let supervisor: &[u8] = include_bytes!("../guest/rc.local");
    host.write_file(supervisor, "/etc/rc.local", 0o755)?;
    host.run(&format!(
        "if [ -d /run/systemd/system ]; then systemctl enable --now {units}; else /etc/rc.local; fi"
    ))
    .map(drop)
}

/// Processors that are translated, three members on two of them, stall longer than a leader on a real site ever does.
const ELECTION_TIMEOUT: &str = "electionTimeoutMs: 5000";

/// A member, started now and whenever its host starts.
pub fn start_member(host: Host<'_>) -> Result<(), LabError> {
    host.run(&format!(
        "grep -q electionTimeoutMs {MEMBER_CONFIG} || echo '{ELECTION_TIMEOUT}' >>{MEMBER_CONFIG}"
    ))?;
    start(host, "quorated")
}

/// A member ends, and stays so until it is started.
pub fn stop_member(host: Host<'_>) -> Result<(), LabError> {
    host.run(
        "if [ -d /run/systemd/system ]; then systemctl stop quorated; exit; fi
         pkill -f 'done sh [q]uorated '
         pkill -x quorated
         while pgrep -x quorated >/dev/null; do sleep 0.1; done",
    )
    .map(drop)
}

/// The daemons of a host, started now and whenever it starts.
pub fn start_host(host: Host<'_>) -> Result<(), LabError> {
    start(host, "quorate-lease quorate-node")
}

/// Runs the command line in a host, as the administrator that `quorate init` has made, and again where an election has swallowed the
/// answer: that is what the command line itself advises then.
pub fn quorate(host: Host<'_>, arguments: &str) -> Result<String, LabError> {
    again_after(&[OUTCOME_UNKNOWN], host, arguments)
}

/// The same, and again while nobody answers: on these processors a member is silent for seconds when a host's daemons start.
fn quorate_when_reached(host: Host<'_>, arguments: &str) -> Result<String, LabError> {
    again_after(&[OUTCOME_UNKNOWN, NOT_REACHED], host, arguments)
}

fn again_after(codes: &[u32], host: Host<'_>, arguments: &str) -> Result<String, LabError> {
    let command = format!("HOME=/root quorate {arguments}");
    let begun = Instant::now();
    loop {
        let output = host.exec(&command)?;
        if !codes.contains(&output.code) || begun.elapsed() > PATIENCE {
            return host.succeeded(&command, &output);
        }
        thread::sleep(Duration::from_secs(1));
    }
}

/// Of an odd number of hosts from three on, the last is a witness: it votes and carries nothing.
fn is_witness(number: u8, hosts: u8) -> bool {
    number == hosts && hosts >= 3 && hosts % 2 == 1
}

fn count(room: &Room) -> Result<u8, LabError> {
    Ok(u8::try_from(room.status()?.hosts.len()).unwrap_or(u8::MAX))
}

/// Installs the packages on each host of a room, founds a cluster on the first and joins the others as members.
/// Returns a context file for programs at the room's desk.
pub fn found(room: &Room, packages: &Packages, progress: &Progress) -> Result<PathBuf, LabError> {
    let hosts = count(room)?;
    progress.step("installing Quorate's packages on all hosts");
    thread::scope(|scope| {
        let each: Vec<_> = (1..=hosts)
            .map(|number| scope.spawn(move || packages.install(room.host(number))))
            .collect();
        each.into_iter().try_for_each(|install| {
            install
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                .map(drop)
        })
    })?;

    progress.step("node1: quorate init");
    let first = room.host(1);
    let name = room.name();
    quorate(
        first,
        &format!("init --cluster-name {name} {}", addresses(1)),
    )?;
    start_member(first)?;
    room.eventually("the first member to lead", PATIENCE, |_| {
        quorate(first, "cluster status")
    })?;
    for number in 2..=hosts {
        join(room, 1, number, is_witness(number, hosts), progress)?;
    }

    let endpoints: String = (1..=hosts)
        .map(|number| format!(" --endpoint {}:7443", address("10.20", number)))
        .collect();
    quorate(first, &format!("config set-context {name}{endpoints}"))?;
    keep_context(room)
}

/// A member that was given up becomes a new one, by the word of the one on another host; what it had is set aside.
pub fn join_anew(room: &Room, from: u8, number: u8, progress: &Progress) -> Result<(), LabError> {
    let host = room.host(number);
    stop_member(host)?;
    host.run(&format!(
        "aside=$(mktemp -d /var/lib/quorate-aside.XXXXXX) && mkdir $aside/data $aside/pki && mv {MEMBER_CONFIG} $aside/ &&
         find /var/lib/quorate -mindepth 1 -maxdepth 1 -exec mv -t $aside/data {{}} + &&
         find /etc/quorate/pki -mindepth 1 -maxdepth 1 -exec mv -t $aside/pki {{}} +"
    ))?;
    let hosts = count(room)?;
    join(room, from, number, is_witness(number, hosts), progress)
}

fn join(
    room: &Room,
    from: u8,
    number: u8,
    witness: bool,
    progress: &Progress,
) -> Result<(), LabError> {
    let host = room.host(number);
    let (name, kind) = (
        host.called()?,
        if witness { "a witness" } else { "a member" },
    );
    progress.step(&format!("{}: quorate join, as {kind}", host.name()));
    let flag = if witness { " --witness" } else { "" };
    let token = quorate_when_reached(
        room.host(from),
        &format!("cluster join-token create member{flag}"),
    )?;
    let server = address("10.20", from);
    quorate_when_reached(
        host,
        &format!("join {token} --server {server} {}", addresses(number)),
    )?;
    start_member(host)?;
    room.eventually(&format!("{name} to get its vote"), PATIENCE, |room| {
        quorate(room.host(from), &format!("cluster promote {name}"))
    })
    .map(drop)
}

/// Lets every host but a witness carry guests: it joins once more, as a host, and its daemons are started.
pub fn enlist(room: &Room, progress: &Progress) -> Result<(), LabError> {
    let hosts = count(room)?;
    for number in (1..=hosts).filter(|number| !is_witness(*number, hosts)) {
        let host = room.host(number);
        let called = host.called()?;
        progress.step(&format!("{}: quorate join, as host {called}", host.name()));
        let token = quorate_when_reached(
            room.host(1),
            &format!("cluster join-token create node {called}"),
        )?;
        let server = address("10.20", 1);
        quorate_when_reached(host, &format!("join {token} --server {server}"))?;
        host.run(&format!("test -s {HOST_CONFIG}"))?;
        start_host(host)?;
    }
    eventually_online(room)
}

/// Every host that carries guests is heard by its cluster.
fn eventually_online(room: &Room) -> Result<(), LabError> {
    let hosts = count(room)?;
    for number in (1..=hosts).filter(|number| !is_witness(*number, hosts)) {
        let called = room.host(number).called()?;
        room.eventually(&format!("{called} to be online"), PATIENCE, |room| {
            let state = quorate(
                room.host(1),
                &format!("get node {called} -o 'jsonpath={{.status.state}}'"),
            )?;
            if state == "Online" {
                Ok(())
            } else {
                Err(LabError::Room(format!("its state is {state:?}")))
            }
        })?;
    }
    Ok(())
}

/// No control groups, no users, no sandbox; guests move as they do everywhere, with the certificates that the hosts' daemons keep.
const QEMU_CONF: &[u8] = b"user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\ncgroup_controllers = []\nnamespaces = []\nremember_owner = 0\n";
const LIBVIRTD_CONF: &[u8] = b"# the room starts it\nauth_unix_rw = \"none\"\n";

/// All hosts but a witness.
pub fn carry_guests_everywhere(room: &Room, progress: &Progress) -> Result<(), LabError> {
    let hosts = count(room)?;
    for number in (1..=hosts).filter(|number| !is_witness(*number, hosts)) {
        progress.step(&format!("node{number}: libvirt"));
        carry_guests(room.host(number))?;
    }
    eventually_online(room)
}

/// Starts libvirt on a host that has joined, now and whenever it starts. It listens to other hosts when it has its certificates.
pub fn carry_guests(host: Host<'_>) -> Result<(), LabError> {
    host.write_file(QEMU_CONF, "/etc/libvirt/qemu.conf", 0o600)?;
    host.write_file(LIBVIRTD_CONF, "/etc/libvirt/libvirtd.conf", 0o600)?;
    host.run(
        "pkill -x quorate-node; /etc/rc.local
         for second in $(seq 300); do ss -tln | grep -q :16514 && exit; sleep 1; done
         ls -lR /etc/pki; tail -n 20 /var/log/libvirtd.log /var/log/quorate-node.log; exit 1",
    )
    .map(drop)
}

/// A member is reached over the back-channel, and over the storage network when that is dead.
fn addresses(number: u8) -> String {
    format!(
        "--address {} --address {}",
        address("10.20", number),
        address("10.10", number)
    )
}

fn keep_context(room: &Room) -> Result<PathBuf, LabError> {
    let text = room
        .host(1)
        .read_file("/root/.config/quorate/config.yaml")?;
    let path = room.place().join("context.yaml");
    fs::write(&path, text).on("write", &path)?;
    // The administrator's key is in it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).on("protect", &path)?;
    Ok(path)
}

/// Applies manifests of this machine in one go, from the first host. Each is a directory or a file; one takes the place of an earlier one
/// of the same name, as when an operator puts the passwords of the site where the example has placeholders.
pub fn apply(room: &Room, manifests: &[PathBuf]) -> Result<String, LabError> {
    let there = "/root/manifests";
    let copy = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        room.host(1).copy_in(path, &format!("{there}/{name}"))
    };
    for given in manifests {
        if given.is_file() {
            copy(given)?;
            continue;
        }
        for entry in fs::read_dir(given).on("list", given)? {
            let path = entry.on("list", given)?.path();
            if path.extension().is_some_and(|ending| ending == "yaml") {
                copy(&path)?;
            }
        }
    }
    quorate(room.host(1), &format!("apply -f {there}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_are_not_built_are_missing_with_the_command_that_builds_them() {
        let empty = tempfile::tempdir().expect("a directory");
        for name in ["quorated", "quorate-node"] {
            fs::write(empty.path().join(format!("{name}_0.1.0-1_amd64.deb")), "").expect("written");
        }
        let error = Packages::find(empty.path())
            .expect_err("two of three")
            .to_string();
        assert!(
            error.contains("quorate_*.deb") && error.contains("make packages"),
            "{error}"
        );
    }
}
