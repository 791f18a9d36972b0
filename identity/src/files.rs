//! Files that hold keys: never half written, never readable by others, not even for a moment.

use std::{
    fs, io,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Certificates, keys and keyrings are a few kilobytes; whatever is larger is something else.
const MAX_BYTES: u64 = 1 << 20;

/// The file system refused. May succeed once its reason is gone.
#[derive(Debug, Error)]
#[error("cannot {action} {path}")]
pub struct FileError {
    /// `read`, `write`, `create`.
    pub action: &'static str,
    /// Which file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Who may read a file besides its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readable {
    ByOwner,
    ByAll,
}

/// Creates `dir`, closed to others, unless it is there.
pub(crate) fn create_dir(dir: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| FileError {
            action: "create",
            path: dir.to_owned(),
            source,
        })
}

/// The file's text.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    let read = || {
        let mut text = String::new();
        fs::File::open(path)?
            .take(MAX_BYTES)
            .read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| FileError {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

/// Replaces the file as a whole: after a crash at any moment it holds the old text or the new one.
pub(crate) fn write(path: &Path, text: &str, readable: Readable) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let staged = path.with_file_name(name);
    let write = || {
        match fs::remove_file(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(match readable {
                Readable::ByOwner => 0o600,
                Readable::ByAll => 0o644,
            })
            .open(&staged)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&staged, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| FileError {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_readable_by_its_owner_alone_and_replaced_as_a_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let pki = dir.path().join("pki");
        create_dir(&pki).expect("created");
        let key = pki.join("member.key");

        write(&key, "first", Readable::ByOwner).expect("written");
        fs::write(pki.join("member.key.new"), "left by a crash").expect("written");
        write(&key, "second", Readable::ByOwner).expect("replaced");

        assert_eq!(read(&key).expect("readable"), "second");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&key), 0o600);
        assert_eq!(mode(&pki), 0o700);
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let error = read(Path::new("/nowhere/ca.crt")).expect_err("not there");
        assert_eq!(error.to_string(), "cannot read /nowhere/ca.crt");
    }
}
