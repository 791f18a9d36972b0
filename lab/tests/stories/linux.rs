//! The Linux guest: slower than the ROM, but a whole kernel with drivers of its own, which can be told to shut down; alone, and in
//! the hosts under libvirt, as guests of a cluster are.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quorate_lab::cache::Cache;
use quorate_lab::counter::{self, Linux, Said};
use quorate_lab::{Progress, Room};

use crate::stories::guests::{drbd_down, drbd_up};
use crate::stories::{AFTER_A_BOOT, SOON, heard_in_time};

/// The guest on this machine, without a room.
struct Guest {
    machine: Child,
    serial: PathBuf,
    monitor: PathBuf,
}

impl Guest {
    fn start(directory: &Path, name: &str) -> Guest {
        let linux =
            Linux::obtain(&Cache::from_environment(), &Progress::silent()).expect("obtained");
        let serial = directory.join(name);
        let monitor = directory.join(format!("{name}.sock"));
        let disk = format!(
            "file={},if=virtio,format=raw",
            directory.join("disk").display()
        );
        let machine = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-cpu", "qemu64", "-M", "pc", "-m", "128"])
            .args(["-nodefaults", "-display", "none", "-drive", &disk])
            .arg("-kernel")
            .arg(&linux.kernel)
            .arg("-initrd")
            .arg(&linux.initrd)
            .args(["-append", Linux::ARGUMENTS])
            .args(["-serial", &format!("file:{}", serial.display())])
            .args([
                "-qmp",
                &format!("unix:{},server=on,wait=off", monitor.display()),
            ])
            .stdin(Stdio::null())
            .spawn()
            .expect("QEMU starts");
        Guest {
            machine,
            serial,
            monitor,
        }
    }

    fn said(&self) -> Vec<Said> {
        counter::hear(&fs::read(&self.serial).unwrap_or_default())
    }

    fn until(&self, what: &str, seen: impl Fn(&[Said]) -> bool) -> Vec<Said> {
        heard_in_time(what, AFTER_A_BOOT, || self.said(), seen)
    }

    fn press_button(&self) {
        let mut monitor = UnixStream::connect(&self.monitor).expect("the monitor listens");
        monitor
            .write_all(b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"system_powerdown\"}\n")
            .expect("it is told");
        // A greeting and two answers; whoever hangs up before them is not heard.
        let answers: Result<Vec<String>, _> = BufReader::new(monitor).lines().take(3).collect();
        answers.expect("it answers");
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}

pub(crate) fn a_linux_guest_counts_until_its_button_and_goes_on_from_its_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = fs::File::create(directory.path().join("disk")).expect("a disk");
    disk.set_len(1 << 20).expect("1 MiB");

    let mut first = Guest::start(directory.path(), "first");
    first.until("the third count", |said| {
        counter::acknowledged(said) >= Some(3)
    });
    first.press_button();
    let said = first.until("the end", |said| matches!(said.last(), Some(Said::End(_))));
    assert_eq!(counter::unbroken(&said), Ok(()));
    let status = first.machine.wait().expect("it ends by itself");
    assert!(status.success(), "{status}");
    let sector = fs::read(directory.path().join("disk")).expect("a disk");
    let kept = counter::on_disk(&sector).expect("a record");
    assert_eq!(Some(kept.count), counter::acknowledged(&said));

    let second = Guest::start(directory.path(), "second");
    let said = second.until("a count", |said| counter::acknowledged(said).is_some());
    let Said::Start(start) = said[0] else {
        panic!("{said:?}")
    };
    assert_eq!(start.count, kept.count);
    assert_ne!(start.run, kept.run);
}

/// A kernel that boots in a translated machine inside a translated machine.
const AFTER_A_NESTED_BOOT: Duration = Duration::from_secs(1800);

/// What the guest says in its host.
const SERIAL: &str = "/var/log/linux.serial";

fn domain() -> String {
    let arguments = Linux::ARGUMENTS;
    format!(
        "<domain type='qemu'>
           <name>linux</name>
           <memory unit='MiB'>128</memory>
           <os>
             <type arch='x86_64' machine='pc'>hvm</type>
             <kernel>/root/guest/kernel</kernel>
             <initrd>/root/guest/initrd</initrd>
             <cmdline>{arguments}</cmdline>
           </os>
           <features><acpi/></features>
           <cpu mode='custom' match='exact'><model>qemu64</model></cpu>
           <devices>
             <emulator>/usr/bin/qemu-system-x86_64</emulator>
             <disk type='block' device='disk'>
               <driver name='qemu' type='raw' cache='none'/>
               <source dev='/dev/drbd0'/>
               <target dev='vda' bus='virtio'/>
               <shareable/>
             </disk>
             <serial type='file'><source path='{SERIAL}'/></serial>
             <memballoon model='none'/>
           </devices>
         </domain>"
    )
}

/// No control groups, no users, no sandbox, and migration over the back-channel without certificates.
const QEMU_CONF: &str = "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\ncgroup_controllers = []\nnamespaces = []\nremember_owner = 0\n";
const LIBVIRTD_CONF: &str =
    "listen_tls = 0\nlisten_tcp = 1\nauth_tcp = \"none\"\nauth_unix_rw = \"none\"\n";

pub(super) fn libvirt_up(room: &Room) {
    for number in [1, 2] {
        let host = room.host(number);
        host.run("cp -a /etc/libvirt/qemu.conf /etc/libvirt/qemu.conf.kept")
            .expect("kept");
        host.write_file(QEMU_CONF.as_bytes(), "/etc/libvirt/qemu.conf", 0o600)
            .expect("written");
        host.write_file(LIBVIRTD_CONF.as_bytes(), "/run/libvirtd.conf", 0o600)
            .expect("written");
        host.run("virtlogd -d && libvirtd --config /run/libvirtd.conf --listen -d")
            .expect("started");
    }
    for number in [1, 2] {
        room.eventually("libvirt answers", SOON, |room| {
            room.host(number).run("virsh list")
        })
        .expect("it answers");
    }
}

pub(super) fn libvirt_down(room: &Room) {
    for number in [1, 2] {
        room.host(number)
            .run(&format!(
                "pkill -x libvirtd; pkill -x virtlogd; mv /etc/libvirt/qemu.conf.kept /etc/libvirt/qemu.conf
                 rm -rf /run/libvirtd.conf /root/guest {SERIAL}"
            ))
            .expect("as it was");
    }
}

pub(crate) fn a_linux_guest_moves_with_libvirt_and_shuts_down_at_its_button(room: &Room) {
    let linux = Linux::obtain(&Cache::from_environment(), &Progress::silent()).expect("obtained");
    for number in [1, 2] {
        let host = room.host(number);
        host.copy_in(&linux.kernel, "/root/guest/kernel")
            .expect("copied");
        host.copy_in(&linux.initrd, "/root/guest/initrd")
            .expect("copied");
    }
    drbd_up(room);
    libvirt_up(room);
    let said = |number: u8| counter::hear(&room.host(number).read_file(SERIAL).unwrap_or_default());
    let counts = |said: &[Said]| counter::acknowledged(said).is_some();

    room.host(1)
        .write_file(
            std::io::Cursor::new(domain()),
            "/root/guest/linux.xml",
            0o644,
        )
        .expect("written");
    room.host(1)
        .run("virsh define /root/guest/linux.xml && virsh start linux")
        .expect("started");
    heard_in_time("a count on node1", AFTER_A_NESTED_BOOT, || said(1), counts);

    room.host(1)
        .run("virsh migrate --live --persistent --undefinesource --unsafe linux qemu+tcp://10.20.0.2/system tcp://10.20.0.2")
        .expect("moved");
    heard_in_time("a count on node2", AFTER_A_BOOT, || said(2), counts);
    room.host(2)
        .run("virsh shutdown linux")
        .expect("its button is pressed");
    let there = heard_in_time(
        "the end",
        AFTER_A_BOOT,
        || said(2),
        |said| matches!(said.last(), Some(Said::End(_))),
    );

    // One run on both sides of the move, from its start to its end in order, no count missing.
    let mut all = said(1);
    all.extend(there);
    assert_eq!(counter::unbroken(&all), Ok(()));
    room.eventually("the guest is off", AFTER_A_BOOT, |room| {
        let state = room
            .host(2)
            .run("virsh domstate linux")
            .map_err(|error| error.to_string())?;
        if state.trim() == "shut off" {
            Ok(())
        } else {
            Err(state)
        }
    })
    .expect("off");
    room.host(2).run("virsh undefine linux").expect("forgotten");
    libvirt_down(room);
    drbd_down(room);
}
