//! The files and directories by which the kernel's lock manager is driven. Tests put a kernel of their own behind them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Files and directories of the kernel's.
pub(super) trait Tree: Send + Sync {
    /// What is in a directory; nothing, when it is not there.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    fn read(&self, path: &str) -> io::Result<String>;

    /// In one go: the kernel takes each write for a whole value.
    fn write(&self, path: &str, value: &[u8]) -> io::Result<()>;

    /// Makes a directory, and with it what the kernel puts into it. One that is there is well.
    fn make(&self, path: &str) -> io::Result<()>;

    /// Removes a directory, and with it what the kernel has put into it. One that is not there is well.
    fn remove(&self, path: &str) -> io::Result<()>;
}

/// Those of this machine.
pub(super) struct OfThisMachine;

impl Tree for OfThisMachine {
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn read(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(path)
    }

    fn write(&self, path: &str, value: &[u8]) -> io::Result<()> {
        let mut file = fs::File::options().write(true).open(path)?;
        let written = file.write(value)?;
        if written < value.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    fn make(&self, path: &str) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // A directory that the kernel does not make by itself, as where configfs is not mounted.
            Err(error) if !Path::new(path).parent().is_some_and(Path::exists) => Err(
                io::Error::new(error.kind(), "the lock manager is not loaded"),
            ),
            done => done,
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}
