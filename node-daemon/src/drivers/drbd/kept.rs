//! What the daemon remembers of a replica while the host is up: what was configured, and whether the kernel has it so.
//! It lies in /run beside the configuration, so that a daemon that starts knows which resources are ours.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use quorate_crds::Name;
use quorate_crds::scalar::AbsolutePath;
use serde::{Deserialize, Serialize};

use super::writes::Writes;
use crate::drivers::draft;

/// One replica of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    pub(super) volume: Name,
    pub(super) minor: u32,
    pub(super) node_id: u32,
    pub(super) backing: AbsolutePath,
    pub(super) peers: Vec<KeptPeer>,
    pub(super) two_primaries: bool,
    /// The kernel has taken all of the configuration.
    pub(super) adjusted: bool,
    /// A snapshot is made before it is overwritten by a resync.
    #[serde(default)]
    pub(super) snapshot_target: bool,
    /// Of how many equal parts of the host's rate for resyncs it was given one. None: it has a rate of its own.
    #[serde(default)]
    pub(super) rate_parts: Option<u64>,
    /// When it met a peer that has written as well, in seconds: what it holds is kept aside before it is overwritten.
    #[serde(default)]
    pub(super) met_split: Option<i64>,
    /// The verification that was asked for last.
    #[serde(default)]
    pub(super) verify: Option<KeptVerify>,
}

/// A verification, so that a daemon that starts knows under which number the kernel compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptVerify {
    pub(super) number: u64,
    /// Why it did not begin.
    pub(super) refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeptPeer {
    pub(super) node: Name,
    pub(super) node_id: u32,
}

/// The directory with the configuration of every replica of ours.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
}

impl Place {
    /// What DRBD's programs are pointed at.
    pub(super) fn main(&self) -> PathBuf {
        self.directory.join("drbd.conf")
    }

    fn resource(&self, volume: &str) -> PathBuf {
        self.directory
            .join("resources")
            .join(format!("{volume}.res"))
    }

    fn memory(&self, volume: &str) -> PathBuf {
        self.directory
            .join("resources")
            .join(format!("{volume}.json"))
    }

    fn writes(&self, volume: &str) -> PathBuf {
        self.directory
            .join("resources")
            .join(format!("{volume}.writes"))
    }

    /// Makes the directories and the file that includes the others.
    pub(super) fn prepare(&self) -> io::Result<()> {
        let resources = self.directory.join("resources");
        fs::create_dir_all(&resources)?;
        for directory in [&self.directory, &resources] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        }
        let text = format!(
            "# Written by quorate-node; changes are overwritten.\nglobal {{ usage-count no; }}\ninclude \"{}/*.res\";\n",
            resources.display()
        );
        if fs::read_to_string(self.main()).is_ok_and(|there| there == text) {
            return Ok(());
        }
        draft::replace(&self.main(), text.as_bytes())
    }

    /// The configuration that was written last.
    pub(super) fn configured(&self, volume: &str) -> Option<String> {
        fs::read_to_string(self.resource(volume)).ok()
    }

    pub(super) fn configure(&self, volume: &str, text: &str) -> io::Result<()> {
        draft::replace(&self.resource(volume), text.as_bytes())
    }

    pub(super) fn keep(&self, kept: &Kept) -> io::Result<()> {
        let text = serde_json::to_string_pretty(kept)?;
        draft::replace(&self.memory(kept.volume.as_str()), text.as_bytes())
    }

    pub(super) fn kept(&self, volume: &str) -> Option<Kept> {
        let text = fs::read_to_string(self.memory(volume)).ok()?;
        match serde_json::from_str(&text) {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::warn!(volume, %error, "what was remembered of the replica cannot be read");
                None
            }
        }
    }

    /// Whether it is one of ours.
    pub(super) fn is_ours(&self, volume: &str) -> bool {
        self.memory(volume).exists()
    }

    pub(super) fn keep_writes(&self, volume: &str, writes: &Writes) -> io::Result<()> {
        let text = serde_json::to_vec(writes)?;
        draft::replace(&self.writes(volume), &text)
    }

    /// What is known of its writes. One that cannot be read is looked at anew.
    pub(super) fn kept_writes(&self, volume: &str) -> Option<Writes> {
        let text = fs::read(self.writes(volume)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Forgets a replica: the memory last, so that what is left is still known as ours.
    pub(super) fn forget(&self, volume: &str) -> io::Result<()> {
        for path in [
            self.resource(volume),
            self.writes(volume),
            self.memory(volume),
        ] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_outlives_the_daemon_and_is_for_root_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = Place {
            directory: directory.path().join("drbd"),
        };
        place.prepare().expect("made");
        place.prepare().expect("as it is");
        let kept = Kept {
            volume: "web".into(),
            minor: 7,
            node_id: 0,
            backing: AbsolutePath("/dev/vg0/web".into()),
            peers: vec![KeptPeer {
                node: "an2".into(),
                node_id: 1,
            }],
            two_primaries: false,
            adjusted: true,
            snapshot_target: false,
            rate_parts: Some(2),
            met_split: None,
            verify: None,
        };
        place.configure("web", "resource web {}").expect("written");
        place.keep(&kept).expect("written");
        assert_eq!(place.kept("web"), Some(kept));
        assert_eq!(place.configured("web").as_deref(), Some("resource web {}"));
        let file = place.directory.join("resources/web.res");
        let mode = fs::metadata(file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        place.forget("web").expect("gone");
        place.forget("web").expect("gone already");
        assert_eq!(place.kept("web"), None);
        fs::write(place.directory.join("resources/web.json"), "{").expect("written");
        assert_eq!(place.kept("web"), None, "what cannot be read is not ours");
    }
}
