//! The guest that counts: assembled from `guest/counter.s`, started in a blink, and a witness of what happened to it.
//!
//! What it says on its serial port is on its disk already. So a test can prove, from what it said and from the sector,
//! that it ran on without a break (the same run, no count missing), that it was restarted (a new run that begins where
//! the disk was), that two of it were active on one disk, and that nothing acknowledged was lost.
//!
//! It comes three times: [`rom`] is a program without an operating system, [`boot_sector`] the same for whoever gives a guest nothing but a disk,
//! and [`Linux`] a kernel with drivers of its own that takes its time and can be told to shut down. They keep the same record and say the
//! same lines.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::cache::{Cache, key};
use crate::error::{LabError, OnFile};
use crate::image::Image;
use crate::initrd;
use crate::programs::run;
use crate::progress::Progress;

const ROM_SOURCE: &str = include_str!("../guest/counter.s");
const BOOT_SOURCE: &str = include_str!("../guest/counter-boot.s");
/// What both include.
const SAY_SOURCE: &str = include_str!("../guest/counter-say.s");

/// What the sector on its disk begins with.
const MARK: &[u8; 8] = b"QCOUNTER";

/// The processor that the guest needs: it knows nothing of local APICs.
pub const PROCESSOR: &str = "qemu64,-apic";

/// One line of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// A run begins, at the count that it found on the disk.
    Start(Record),
    /// This count is on the disk.
    Count(Record),
    /// Somebody else has written this to the disk.
    Foreign(Record),
    /// The disk has failed; it tries again.
    DiskError,
    /// It was told to shut down, has done so, and this was its last count. Only the Linux guest can be told.
    End(Record),
}

impl Said {
    /// The count that it is about.
    pub fn record(&self) -> Option<Record> {
        match self {
            Self::Start(record)
            | Self::Count(record)
            | Self::Foreign(record)
            | Self::End(record) => Some(*record),
            Self::DiskError => None,
        }
    }

    /// The run that it is about.
    pub fn run(&self) -> Option<u32> {
        self.record().map(|record| record.run)
    }
}

/// A count of a run, as said or as on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// How far it has counted.
    pub count: u32,
    /// Which run: another number for each start.
    pub run: u32,
}

/// The ROM, 64 KiB, in the cache. Its record is the first sector of its disk.
pub fn rom(cache: &Cache, progress: &Progress) -> Result<PathBuf, LabError> {
    assembled(cache, progress, "rom", ROM_SOURCE, "-Ttext=0")
}

/// The first sector of a disk that a BIOS starts, in the cache. Its record is the second sector of the same disk.
pub fn boot_sector(cache: &Cache, progress: &Progress) -> Result<PathBuf, LabError> {
    assembled(cache, progress, "boot", BOOT_SOURCE, "-Ttext=0x7c00")
}

fn assembled(
    cache: &Cache,
    progress: &Progress,
    what: &str,
    source: &str,
    place: &str,
) -> Result<PathBuf, LabError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let parts = [source, SAY_SOURCE, place].map(str::as_bytes);
    let name = format!("counter-{}", key(&parts));
    let entry = runtime.on("start", "the runtime")?.block_on(cache.entry(
        &name,
        progress,
        async |draft: PathBuf| assemble(&draft, what, source, place).await,
    ))?;
    Ok(entry.join(what))
}

/// The first program of the Linux guest.
const LINUX_INIT: &[u8] = include_bytes!("../guest/counter.sh");

/// The Linux guest: Debian's kernel, `busybox`, and a script that counts on `/dev/vda` until the power button is pressed.
#[derive(Debug, Clone)]
pub struct Linux {
    /// What to boot.
    pub kernel: PathBuf,
    /// With this as its RAM disk; it has everything.
    pub initrd: PathBuf,
}

impl Linux {
    /// The kernel's command line: nothing that takes long where a translated machine runs it in a translated machine. There its timer
    /// ticks too late for the kernel's check of it, after which the kernel would hang.
    pub const ARGUMENTS: &str = "console=ttyS0 quiet panic=5 mitigations=off nokaslr audit=0 apparmor=0 cryptomgr.notests \
        lpj=1000000 tsc=reliable no_timer_check random.trust_cpu=on rcupdate.rcu_expedited=1 nowatchdog";

    /// Made from the image of the hosts, which has all that it needs.
    pub fn obtain(cache: &Cache, progress: &Progress) -> Result<Linux, LabError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .on("start", "the runtime")?;
        runtime.block_on(async {
            let image = Image::obtain(cache, progress).await?;
            let name = format!("linux-{}", key(&[image.name().as_bytes(), LINUX_INIT]));
            let entry = cache
                .entry(&name, progress, async |draft: PathBuf| {
                    let archive = initrd::minimal(&image.boot_files(), LINUX_INIT)?;
                    let path = draft.join("initrd");
                    fs::write(&path, archive.finish()).on("write", &path)
                })
                .await?;
            Ok(Linux {
                kernel: image.kernel(),
                initrd: entry.join("initrd"),
            })
        })
    }
}

async fn assemble(draft: &Path, what: &str, source: &str, place: &str) -> Result<(), LabError> {
    let text = draft.join(format!("{what}.s"));
    let object = draft.join(format!("{what}.o"));
    fs::write(&text, source).on("write", &text)?;
    let say = draft.join("counter-say.s");
    fs::write(&say, SAY_SOURCE).on("write", &say)?;
    run(Command::new("as")
        .arg("--32")
        .arg("-I")
        .arg(draft)
        .arg("-o")
        .arg(&object)
        .arg(&text))
    .await?;
    let layout = ["-m", "elf_i386", place, "--oformat", "binary", "-o"];
    run(Command::new("ld")
        .args(layout)
        .arg(draft.join(what))
        .arg(&object))
    .await
    .map(drop)
}

/// What the guest has said so far; a line that is not whole yet is left out, and so is whatever is not its own.
#[must_use]
pub fn hear(serial: &[u8]) -> Vec<Said> {
    let text = String::from_utf8_lossy(serial);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .filter_map(|line| hear_line(line.trim()))
        .collect()
}

fn hear_line(line: &str) -> Option<Said> {
    if line == "DISK ERROR" {
        return Some(Said::DiskError);
    }
    let (what, rest) = line.split_once('=')?;
    let (count, run) = rest.split_once(" run=")?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    let record = Record {
        count: number(count)?,
        run: number(run)?,
    };
    match what {
        "start" => Some(Said::Start(record)),
        "count" => Some(Said::Count(record)),
        "FOREIGN count" => Some(Said::Foreign(record)),
        "end" => Some(Said::End(record)),
        _ => None,
    }
}

/// What its disk says; none when it has never been on this disk.
#[must_use]
pub fn on_disk(sector: &[u8]) -> Option<Record> {
    let numbers: &[u8; 8] = sector.strip_prefix(MARK)?.first_chunk()?;
    let [count, run] = [[0, 1, 2, 3], [4, 5, 6, 7]]
        .map(|place| u32::from_le_bytes(place.map(|index| numbers[index])));
    Some(Record { count, run })
}

/// The highest count that it has said is on the disk.
#[must_use]
pub fn acknowledged(said: &[Said]) -> Option<u32> {
    said.iter()
        .filter_map(|said| {
            if let Said::Count(record) = said {
                Some(record.count)
            } else {
                None
            }
        })
        .max()
}

/// Whether all counts are one run's, each one more than the last.
pub fn unbroken(said: &[Said]) -> Result<(), String> {
    let mut last: Option<Record> = None;
    for said in said {
        match (*said, last) {
            (Said::Start(record), None) => last = Some(record),
            (Said::Count(record), None) => last = Some(record),
            (Said::Count(record), Some(before))
                if record.run == before.run && record.count == before.count + 1 =>
            {
                last = Some(record);
            }
            (Said::End(record), Some(before)) if record == before => {}
            (other, before) => return Err(format!("{other:?} does not follow {before:?}")),
        }
    }
    if last.is_none() {
        Err("it has said nothing".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_unbroken_until_a_count_is_missing_or_another_run_begins() {
        let heard = hear(b"start=00000000 run=2e8da87c\r\ncount=00000001 run=2e8da87c\r\ncount=00000002 run=2e8da87c\r\ncount=0000");
        assert_eq!(heard.len(), 3, "the last line is not whole");
        assert_eq!(unbroken(&heard), Ok(()));
        assert_eq!(acknowledged(&heard), Some(2));

        let gap = hear(b"count=00000001 run=2e8da87c\ncount=00000003 run=2e8da87c\n");
        assert!(unbroken(&gap).is_err());
        let ended = hear(b"count=00000001 run=2e8da87c\nend=00000001 run=2e8da87c\n");
        assert_eq!(unbroken(&ended), Ok(()));
        let restart = hear(b"count=00000001 run=2e8da87c\nstart=00000001 run=00000001\n");
        assert!(unbroken(&restart).is_err());
        assert!(unbroken(&hear(b"Booting\n")).is_err());
    }

    #[test]
    fn the_sector_is_read_and_others_are_not() {
        let mut sector = b"QCOUNTER\x0a\0\0\0\x01\0\0\x80".to_vec();
        sector.resize(512, 0);
        assert_eq!(
            on_disk(&sector),
            Some(Record {
                count: 10,
                run: 0x8000_0001
            })
        );
        assert_eq!(on_disk(&[0; 512]), None);
        assert_eq!(on_disk(b"QCOUNTER"), None);
    }

    #[test]
    fn a_stranger_on_the_disk_is_heard() {
        assert_eq!(
            hear(b"FOREIGN count=0000000c run=00000007\n"),
            [Said::Foreign(Record { count: 12, run: 7 })]
        );
    }
}
