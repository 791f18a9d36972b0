//! The initial RAM disk: a `newc` archive, written here so that no host of ours needs `cpio`.

use std::fs;
use std::path::Path;

use crate::error::{LabError, OnFile};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// The scripts and the agent that make an image a host of the lab.
pub(crate) struct GuestFiles {
    /// The first program, in the RAM disk.
    pub(crate) init: &'static [u8],
    /// What `/run/quorate-lab` holds in a host.
    pub(crate) tools: Vec<(&'static str, Vec<u8>)>,
}

impl GuestFiles {
    /// The scripts of this crate and the agent beside the running program.
    pub(crate) fn load(agent: &Path) -> Result<GuestFiles, LabError> {
        let agent = fs::read(agent).on("read", agent)?;
        Ok(GuestFiles {
            init: include_bytes!("../guest/init"),
            tools: vec![
                ("boot", include_bytes!("../guest/boot").to_vec()),
                ("identify", include_bytes!("../guest/identify").to_vec()),
                ("prepare", include_bytes!("../guest/prepare").to_vec()),
                (
                    "quorate-lab-agent.service",
                    include_bytes!("../guest/quorate-lab-agent.service").to_vec(),
                ),
                (
                    "power-button",
                    include_bytes!("../guest/power-button").to_vec(),
                ),
                ("quorate-lab-agent", agent),
            ],
        })
    }
}

/// The archive of a host: [`minimal`], and our own files.
pub(crate) fn build(boot_files: &Path, ours: &GuestFiles) -> Result<Vec<u8>, LabError> {
    let mut archive = minimal(boot_files, ours.init)?;
    archive.add("lab", DIRECTORY, &[]);
    for (name, bytes) in &ours.tools {
        archive.add(&format!("lab/{name}"), PROGRAM, bytes);
    }
    Ok(archive.finish())
}

/// A first program, `busybox` and the boot modules: enough to be a host's RAM disk, and the whole of a small guest.
pub(crate) fn minimal(boot_files: &Path, init: &[u8]) -> Result<Archive, LabError> {
    let mut archive = Archive::default();
    for directory in ["bin", "modules"] {
        archive.add(directory, DIRECTORY, &[]);
    }
    archive.add("init", PROGRAM, init);
    let busybox = boot_files.join("busybox");
    archive.add(
        "bin/busybox",
        PROGRAM,
        &fs::read(&busybox).on("read", busybox)?,
    );
    let modules = boot_files.join("modules");
    for entry in fs::read_dir(&modules).on("list", &modules)? {
        let path = entry.on("list", &modules)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        archive.add(
            &format!("modules/{name}"),
            PROGRAM,
            &fs::read(&path).on("read", &path)?,
        );
    }
    Ok(archive)
}

#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("no file of the RAM disk is 4 GiB long");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        // inode, mode, uid, gid, links, mtime, size, device ×4, name size, checksum
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_and_every_file_begins_on_a_multiple_of_four() {
        let mut archive = Archive::default();
        archive.add("init", PROGRAM, b"#!/bin/sh");
        archive.add("bin", DIRECTORY, &[]);
        let bytes = archive.finish();
        let second = bytes
            .windows(6)
            .skip(1)
            .position(|window| window == b"070701")
            .expect("a second entry")
            + 1;
        assert_eq!(second % 4, 0);
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }
}
