use super::Records;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use thiserror::Error;

/// Where [`Records`] lie.
pub trait Shelf {
    /// What lies there; nothing yet is empty.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    fn load(&self) -> Result<Records, ShelfError>;

    /// Puts something in its place, whole or not at all, and through to the disk.
    ///
    /// # Errors
    /// When it may not have come through.
    fn store(&self, records: &Records) -> Result<(), ShelfError>;
}

/// The disk, or what lies on it.
#[derive(Debug, Error)]
pub enum ShelfError {
    /// The disk does not do it.
    #[error("{path} cannot be used")]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// Its words.
        #[source]
        source: io::Error,
    },
    /// It was damaged, or written by a later release.
    #[error("{path} is not understood; move it away, and the networks are set up anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
}

/// A directory on the disk.
#[derive(Clone, Debug)]
pub struct Directory(pub PathBuf);

impl Directory {
    fn file(&self) -> PathBuf {
        self.0.join("networks.json")
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let new = self.0.join("networks.json.new");
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, self.file())?;
        File::open(&self.0)?.sync_all()
    }
}

impl Shelf for Directory {
    fn load(&self) -> Result<Records, ShelfError> {
        let path = self.file();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| ShelfError::Damaged { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Records::default()),
            Err(source) => Err(ShelfError::Disk { path, source }),
        }
    }

    fn store(&self, records: &Records) -> Result<(), ShelfError> {
        let path = self.file();
        let bytes = serde_json::to_vec_pretty(records).map_err(|source| ShelfError::Damaged {
            path: path.clone(),
            source,
        })?;
        self.write(&bytes)
            .map_err(|source| ShelfError::Disk { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_on_the_disk_is_there_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let shelf = Directory(dir.path().join("networks"));
        assert_eq!(shelf.load().expect("empty"), Records::default());
        let records = Records {
            boot: "one".to_owned(),
            ..Records::default()
        };
        shelf.store(&records).expect("stored");
        // One that was killed while it wrote left half a file beside.
        fs::write(dir.path().join("networks/networks.json.new"), "{").expect("written");
        assert_eq!(shelf.load().expect("there"), records);
        fs::write(dir.path().join("networks/networks.json"), "{").expect("written");
        let error = shelf.load().expect_err("damaged");
        assert!(error.to_string().contains("move it away"), "{error}");
    }
}
