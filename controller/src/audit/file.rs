use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

const NAME: &str = "audit.log";

/// How much of the past is kept: `files` old files beside the present one, each of about `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file that has grown to this size is put aside.
    pub bytes: u64,
    /// So many of them are kept, as `audit.log.1` (the newest) and so on.
    pub files: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            files: 10,
        }
    }
}

/// The log could not be opened or written. May succeed once its reason is gone.
#[derive(Debug, Error)]
#[error("cannot write the audit log in {dir}")]
pub struct AuditError {
    /// The directory.
    pub dir: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// The present file.
pub(super) struct LogFile {
    dir: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
}

impl LogFile {
    pub(super) fn open(dir: &Path, rotation: Rotation) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let (file, size) = append(&dir.join(NAME))?;
        let mut log = Self {
            dir: dir.to_owned(),
            rotation,
            file,
            size,
        };
        log.end_torn_line()?;
        Ok(log)
    }

    /// Writes whole lines. After an error it is unknown how much was written, and the same lines are written again: better
    /// twice than never.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.size >= self.rotation.bytes {
            self.rotate()?;
        }
        let written = self.file.write_all(lines);
        self.size = self.file.metadata()?.len();
        if written.is_err() {
            self.end_torn_line()?;
        }
        written
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        let old = |n: u32| self.dir.join(format!("{NAME}.{n}"));
        for n in (1..self.rotation.files).rev() {
            rename_if_there(&old(n), &old(n + 1))?;
        }
        let present = self.dir.join(NAME);
        if self.rotation.files == 0 {
            fs::remove_file(&present)?;
        } else {
            rename_if_there(&present, &old(1))?;
        }
        (self.file, self.size) = append(&present)?;
        File::open(&self.dir)?.sync_all()
    }

    /// A line that was cut off by a crash or a full disk must not swallow the next one.
    fn end_torn_line(&mut self) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        if self.size == 0 {
            return Ok(());
        }
        let mut last = [0];
        let mut file = File::open(self.dir.join(NAME))?;
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            self.file.write_all(b"\n")?;
            self.size += 1;
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
