//! The files that make a machine a member: certificates, configuration and the note for the first start.
//!
//! Nothing that exists is ever overwritten: another cluster's keys may be in it.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
};

use quorate_crds::manifest::to_yaml;
use quorate_identity::{BOOTSTRAP_FILE, Bootstrap, Credentials, Keyring, MemberConfig, PkiDir};
use quorate_proto::client::with_port;
use serde_json::json;

use crate::error::CliError;

/// Where a member's files are and how it is reached.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MemberFiles {
    /// The member's name [default: this machine's host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How other machines reach this one, host or host:port; one per network, the best first [default: the name]
    #[arg(long = "address", value_name = "HOST[:PORT]")]
    pub(crate) addresses: Vec<String>,
    /// Where the API listens; may be repeated
    #[arg(long, value_name = "IP:PORT", default_value = "[::]:7443")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Where the store lives: never on storage that Quorate manages
    #[arg(long, value_name = "DIR", default_value = "/var/lib/quorate")]
    pub(crate) data_dir: PathBuf,
    /// Certificates and keys
    #[arg(long, value_name = "DIR", default_value = "/etc/quorate/pki")]
    pub(crate) pki_dir: PathBuf,
    /// The member's configuration
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/quorate/quorated.yaml"
    )]
    pub(crate) member_config: PathBuf,
    /// The audit log
    #[arg(long, value_name = "DIR", default_value = "/var/log/quorate")]
    pub(crate) audit_dir: PathBuf,
}

/// The secrets of a member.
pub(crate) struct MemberKeys<'a> {
    pub(crate) authority: &'a str,
    pub(crate) authority_key: &'a str,
    pub(crate) own: &'a Credentials,
    pub(crate) keyring: &'a Keyring,
}

impl MemberFiles {
    /// The member's name.
    pub(crate) fn member_name(&self) -> Result<String, CliError> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let path = "/proc/sys/kernel/hostname";
        let host = fs::read_to_string(path)
            .map_err(|error| CliError::file("read the host name from", path, error))?;
        let name = host
            .trim()
            .split('.')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        if name.is_empty() || name == "localhost" {
            return Err(CliError::usage(
                "this machine has no host name of its own; give the member one with --name",
            ));
        }
        Ok(name)
    }

    /// The addresses with their ports.
    pub(crate) fn member_addresses(&self) -> Result<Vec<String>, CliError> {
        if self.addresses.is_empty() {
            return Ok(vec![with_port(&self.member_name()?)]);
        }
        Ok(self
            .addresses
            .iter()
            .map(|address| with_port(address))
            .collect())
    }

    /// Refuse when this machine is, or was, a member already.
    pub(crate) fn refuse_existing(&self) -> Result<(), CliError> {
        let pki = PkiDir::new(&self.pki_dir);
        let mut found: Vec<PathBuf> = [
            pki.ca_certificate(),
            pki.ca_key(),
            pki.certificate(),
            pki.key(),
            pki.keyring(),
        ]
        .into_iter()
        .chain([self.member_config.clone()])
        .filter(|path| path.exists())
        .collect();
        match fs::read_dir(&self.data_dir) {
            Ok(mut entries) => {
                found.extend(entries.next().is_some().then(|| self.data_dir.clone()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(CliError::file("look into", &self.data_dir, error)),
        }
        if found.is_empty() {
            return Ok(());
        }
        let list: Vec<_> = found
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        Err(CliError::usage(format!(
            "this machine is a member already, or was one: found {}. Nothing was changed. If that member is really given up, \
             stop quorated, move these away and repeat",
            list.join(", ")
        )))
    }

    /// Refuse when [`MemberFiles::write`] could not do its work. A token is spent once, so this comes first.
    pub(crate) fn refuse_unwritable(&self) -> Result<(), CliError> {
        for path in [&self.data_dir, &self.pki_dir, &self.member_config] {
            let path = absolute(path)?;
            let existing = path
                .ancestors()
                .find(|dir| dir.is_dir())
                .unwrap_or(Path::new("/"))
                .to_owned();
            tempfile::NamedTempFile::new_in(&existing)
                .map_err(|error| CliError::file("write below", existing, error))?;
        }
        Ok(())
    }

    /// Write everything. The note comes last: without it the member does not start.
    pub(crate) fn write(&self, keys: &MemberKeys<'_>, note: &Bootstrap) -> Result<(), CliError> {
        let failed = |error: &dyn std::fmt::Display| {
            CliError::Broken(format!(
                "{error}; nothing was started, repeat once that is put right"
            ))
        };
        make_dir(&self.data_dir)?;
        let pki = PkiDir::new(&self.pki_dir);
        pki.create().map_err(|error| failed(&error))?;
        write_new(&pki.ca_certificate(), keys.authority, 0o644)?;
        write_new(&pki.ca_key(), keys.authority_key, 0o600)?;
        keys.own
            .save(&pki.certificate(), &pki.key())
            .map_err(|error| failed(&error))?;
        keys.keyring
            .save(&pki.keyring())
            .map_err(|error| failed(&error))?;
        let config = MemberConfig {
            name: self.member_name()?,
            data_dir: absolute(&self.data_dir)?,
            pki_dir: absolute(&self.pki_dir)?,
            listen: self.listen.clone(),
            addresses: self.member_addresses()?,
            audit_dir: absolute(&self.audit_dir)?,
            agent_dirs: quorate_identity::default_agent_dirs(),
            election_timeout_ms: None,
        };
        write_new(&self.member_config, &to_yaml(&json!(config)), 0o640)?;
        note.write(&self.data_dir).map_err(|error| failed(&error))?;
        self.hand_over(&pki)
    }

    /// Give everything to whoever owns the data directory: the package makes it for the daemon's user.
    fn hand_over(&self, pki: &PkiDir) -> Result<(), CliError> {
        let owner = fs::metadata(&self.data_dir)
            .map_err(|error| CliError::file("look at", &self.data_dir, error))?;
        let ours = [
            pki.path().to_owned(),
            pki.ca_certificate(),
            pki.ca_key(),
            pki.certificate(),
            pki.key(),
            pki.keyring(),
            self.member_config.clone(),
            self.data_dir.join(BOOTSTRAP_FILE),
        ];
        for path in ours {
            let about =
                fs::metadata(&path).map_err(|error| CliError::file("look at", &path, error))?;
            if (about.uid(), about.gid()) != (owner.uid(), owner.gid()) {
                chown(&path, Some(owner.uid()), Some(owner.gid()))
                    .map_err(|error| CliError::file("hand to the daemon's user", &path, error))?;
            }
            let path = absolute(&path)?;
            keep(&path)?;
            keep(path.parent().unwrap_or(&path))?;
        }
        Ok(())
    }
}

/// A machine that loses its power right after this has the file, its name and its owner: a spent join
/// token cannot be used again.
fn keep(path: &Path) -> Result<(), CliError> {
    fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| CliError::file("write to the disk", path, error))
}

fn make_dir(dir: &Path) -> Result<(), CliError> {
    fs::create_dir_all(dir).map_err(|error| CliError::file("make the directory", dir, error))
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|error| CliError::file("find", path, error))
}

/// Write a file that must not exist yet.
pub(crate) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        make_dir(dir)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| CliError::file("write", path, error))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| CliError::file("write", path, error))
}
