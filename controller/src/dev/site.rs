use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use quorate_crds::manifest::to_yaml;
use quorate_identity::{Bootstrap, Keyring, MemberConfig, PkiDir};
use serde_json::json;

use super::{AGENTS, DevError, process::Program};
use crate::config;

/// The directory of one member of a development cluster.
pub(super) struct Site {
    pub(super) name: String,
    dir: PathBuf,
    agents: PathBuf,
}

impl Site {
    pub(super) fn new(home: &Path, number: u8) -> Self {
        let name = format!("m{number}");
        Self {
            dir: home.join(&name),
            agents: home.join(AGENTS),
            name,
        }
    }

    pub(super) fn exists(&self) -> bool {
        self.config().exists()
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("quorated.yaml")
    }

    pub(super) fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("quorated.log")
    }

    /// What runs it.
    pub(super) fn program(&self) -> Result<Program, DevError> {
        let path = std::env::current_exe().map_err(DevError::io("cannot find this program"))?;
        Ok(Program {
            name: format!("member {}", self.name),
            path,
            arguments: vec!["run".into(), "--config".into(), self.config().into()],
            comes_back: true,
            log: self.log(),
            pid: self.dir.join("pid"),
        })
    }

    /// Where its API answers.
    pub(super) fn address(&self) -> Result<String, DevError> {
        let config =
            config::load(&self.config()).map_err(|error| DevError::Refused(error.to_string()))?;
        Ok(config.addresses[0].clone())
    }

    /// Everything a member needs. The configuration comes last: it says that the rest is there.
    pub(super) fn write(
        &self,
        authority: &str,
        authority_key: &str,
        keyring: &Keyring,
        note: &Bootstrap,
    ) -> Result<(), DevError> {
        self.write_at(&free_address()?, authority, authority_key, keyring, note)
    }

    pub(super) fn write_at(
        &self,
        address: &str,
        authority: &str,
        authority_key: &str,
        keyring: &Keyring,
        note: &Bootstrap,
    ) -> Result<(), DevError> {
        let data_dir = self.dir.join("data");
        fs::create_dir_all(&data_dir)
            .map_err(DevError::io(format!("cannot make {}", data_dir.display())))?;
        let pki = PkiDir::new(self.pki());
        fs::create_dir_all(pki.path()).map_err(DevError::io(format!(
            "cannot make {}",
            pki.path().display()
        )))?;
        write(&pki.ca_certificate(), authority)?;
        write(&pki.ca_key(), authority_key)?;
        keyring.save(&pki.keyring())?;
        note.write(&data_dir)?;
        let listen = address
            .parse()
            .map_err(|_| DevError::Refused(format!("{address} is no address")))?;
        let config = MemberConfig {
            name: self.name.clone(),
            data_dir,
            pki_dir: self.pki(),
            listen: vec![listen],
            addresses: vec![address.to_owned()],
            audit_dir: self.dir.join("audit"),
            // Nothing else: a development cluster never drives devices that exist.
            agent_dirs: vec![self.agents.clone()],
            election_timeout_ms: None,
        };
        write(&self.config(), &to_yaml(&json!(config)))
    }
}

/// A free port of the loopback device; it stays free for the moment until the member takes it.
pub(super) fn free_address() -> Result<String, DevError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.to_string())
        .map_err(DevError::io("cannot find a free port"))
}

/// Writes a file that only its owner can read. It is there as a whole or not at all: some say that the rest is there.
pub(super) fn write(path: &Path, text: &str) -> Result<(), DevError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&draft, path))
        .map_err(DevError::io(format!("cannot write {}", path.display())))
}
