use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock, fstatvfs};

use super::{Disk, File};

/// A directory of the host's file system, locked against a second process for as long as this lives.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    directory: fs::File,
}

impl RealDisk {
    /// Opens the directory, making it (mode 0700) when it is not there, and locks it.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| named(&error, "cannot make the directory", &path))?;
        let directory = fs::File::open(&path)
            .map_err(|error| named(&error, "cannot open the directory", &path))?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path, directory }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(io::Error::new(
                ErrorKind::ResourceBusy,
                format!(
                    "another process uses {}: stop it, or give this one a directory of its own",
                    path.display()
                ),
            )),
            Err(error) => Err(named(&error.into(), "cannot lock the directory", &path)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn options() -> fs::OpenOptions {
        // The standard library opens with O_CLOEXEC.
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        options
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path.join(name);
        match Self::options().create_new(true).open(&path) {
            Ok(file) => Ok(Arc::new(RealFile { file, path })),
            Err(error) => Err(named(&error, "cannot create", &path)),
        }
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path.join(name);
        match Self::options().open(&path) {
            Ok(file) => Ok(Arc::new(RealFile { file, path })),
            Err(error) => Err(named(&error, "cannot open", &path)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let path = self.path.join(from);
        fs::rename(&path, self.path.join(to)).map_err(|error| named(&error, "cannot rename", &path))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(|error| named(&error, "cannot remove", &path))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let failed = |error: io::Error| named(&error, "cannot list", &self.path);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Names that are not UTF-8 are not ours.
            if let Ok(name) = entry.file_name().into_string()
                && entry.file_type().map_err(failed)?.is_file()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory
            .sync_all()
            .map_err(|error| named(&error, "cannot sync the directory", &self.path))
    }

    fn available(&self) -> io::Result<u64> {
        let stat = fstatvfs(&self.directory)
            .map_err(|error| named(&error.into(), "cannot stat", &self.path))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

struct RealFile {
    file: fs::File,
    path: PathBuf,
}

impl File for RealFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(named(&error, "cannot read", &self.path)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file
            .write_all_at(data, offset)
            .map_err(|error| named(&error, "cannot write", &self.path))
    }

    fn sync_data(&self) -> io::Result<()> {
        // fdatasync: the length is included where it changed, times are not.
        self.file
            .sync_data()
            .map_err(|error| named(&error, "cannot sync", &self.path))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file
            .set_len(length)
            .map_err(|error| named(&error, "cannot resize", &self.path))
    }

    fn length(&self) -> io::Result<u64> {
        match self.file.metadata() {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) => Err(named(&error, "cannot stat", &self.path)),
        }
    }
}

/// The same kind of error, saying which file it is about.
fn named(error: &io::Error, what: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}
