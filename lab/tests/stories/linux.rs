//! The Linux guest: slower than the ROM, but a whole kernel with drivers of its own, which can be told to shut down.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use quorate_lab::Progress;
use quorate_lab::cache::Cache;
use quorate_lab::counter::{self, Linux, Said};

use crate::stories::{AFTER_A_BOOT, heard_in_time};

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
