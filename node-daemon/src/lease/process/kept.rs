use super::super::Setup;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What a lease process that is started again begins with. It holds the key of the host's heartbeats, so that nobody but
/// its owner may read it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    path: PathBuf,
    boot_id: String,
}

impl Kept {
    pub(super) fn new(run_dir: &Path, boot_id: &str) -> Self {
        Self {
            path: run_dir.join("lease.json"),
            boot_id: boot_id.to_owned(),
        }
    }

    /// What the daemon said last in this boot. Without it the daemon is waited for.
    pub(super) fn read(&self) -> Option<Setup> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "what was kept cannot be read");
                return None;
            }
        };
        match serde_json::from_slice::<Setup>(&text) {
            Ok(setup) if setup.boot_id == self.boot_id => Some(setup),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "what was kept is damaged");
                None
            }
        }
    }

    /// Keeps that.
    pub(super) fn write(&self, setup: &Setup) -> io::Result<()> {
        let text = serde_json::to_vec(setup)?;
        let fresh = self.path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?
            .write_all(&text)?;
        fs::rename(&fresh, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::heart::tests::setup;
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_the_daemon_said_is_found_in_the_same_boot_only_and_nobody_else_may_read_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let kept = Kept::new(dir.path(), "boot");
        assert_eq!(kept.read(), None);
        kept.write(&setup(true)).expect("written");
        kept.write(&setup(false)).expect("written again");
        assert_eq!(kept.read(), Some(setup(false)));
        let mode = fs::metadata(dir.path().join("lease.json"))
            .expect("there")
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Kept::new(dir.path(), "another boot").read(), None);

        fs::write(dir.path().join("lease.json"), "{").expect("written");
        assert_eq!(kept.read(), None, "the daemon says it again");
    }
}
