//! The hosts of a development cluster: machines of a simulated room, run by a program of its own.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use quorate_crds::manifest::{Limits, parse};

use super::{AGENTS, ASK_EVERY, DevError, client::DevClient, process::Program};

/// The program that is the room; it lies beside this one.
const PROGRAM: &str = "quorate-simulated";

/// The room and what its manifests speak of.
pub(super) struct Hosts {
    home: PathBuf,
    manifests: Vec<PathBuf>,
    program: PathBuf,
    names: BTreeSet<String>,
    agents: BTreeSet<String>,
}

impl Hosts {
    /// The room that the manifests in these directories describe.
    pub(super) fn new(home: &Path, manifests: &[PathBuf]) -> Result<Self, DevError> {
        let manifests = manifests
            .iter()
            .map(std::path::absolute)
            .collect::<Result<Vec<_>, _>>()
            .map_err(DevError::io("cannot find the directory of the manifests"))?;
        let this = std::env::current_exe().map_err(DevError::io("cannot find this program"))?;
        let program = this.with_file_name(PROGRAM);
        if !program.exists() {
            return Err(DevError::Refused(format!(
                "{} is missing; build it: cargo build -p quorate-node-daemon --features simulated",
                program.display()
            )));
        }
        let mut hosts = Self {
            home: home.to_owned(),
            program,
            names: BTreeSet::new(),
            agents: BTreeSet::new(),
            manifests,
        };
        for directory in hosts.manifests.clone() {
            hosts.read(&directory)?;
        }
        Ok(hosts)
    }

    fn read(&mut self, directory: &Path) -> Result<(), DevError> {
        let cannot = |path: &Path| DevError::io(format!("cannot read {}", path.display()));
        let listed = fs::read_dir(directory).map_err(cannot(directory))?;
        for entry in listed {
            let path = entry.map_err(cannot(directory))?.path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let bytes = fs::read(&path).map_err(cannot(&path))?;
            let objects = parse(&bytes, &Limits::default())
                .map_err(|error| DevError::Refused(format!("{}: {error}", path.display())))?;
            for object in objects {
                let name = object["metadata"]["name"].as_str().map(str::to_owned);
                let agent = object["spec"]["agent"].as_str().map(str::to_owned);
                match object["kind"].as_str() {
                    Some("Node") => self.names.extend(name),
                    Some("FenceDevice") => self.agents.extend(agent),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.home.join("room.socket")
    }

    /// How people look at the room.
    pub(super) fn look(&self) -> String {
        let (program, socket) = (self.program.display(), self.socket());
        format!("{program} show --room {}", socket.display())
    }

    /// What runs the room.
    pub(super) fn program(&self) -> Program {
        let mut arguments = vec!["room".into(), "--home".into(), self.home.clone().into()];
        for directory in &self.manifests {
            arguments.extend(["--manifests".into(), directory.clone().into()]);
        }
        Program {
            name: "the machine room".into(),
            path: self.program.clone(),
            arguments,
            comes_back: false,
            log: self.home.join("room.log"),
            pid: self.home.join("room.pid"),
        }
    }

    /// Stands in for the fence agents that the manifests name.
    pub(super) fn set_up_agents(&self) -> Result<(), DevError> {
        let dir = self.home.join(AGENTS);
        let cannot = |path: &Path| DevError::io(format!("cannot write {}", path.display()));
        fs::create_dir_all(&dir).map_err(cannot(&dir))?;
        for agent in &self.agents {
            let path = dir.join(agent);
            let script = format!(
                "#!/bin/sh\n# SIMULATED: switches machines that do not exist.\nexec '{}' agent {agent} --room '{}' \"$@\"\n",
                self.program.display(),
                self.socket().display()
            );
            fs::write(&path, script).map_err(cannot(&path))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(cannot(&path))?;
        }
        Ok(())
    }

    /// Lets every machine join once somebody has applied its Node. Ends when all have.
    pub(super) async fn let_join(&self, client: &DevClient) -> Result<(), DevError> {
        let mut waiting = self.names.clone();
        loop {
            for name in waiting.clone() {
                let dir = self.home.join("hosts").join(&name);
                if !dir.join("node.yaml").exists() {
                    if !client.knows_host(&name).await {
                        continue;
                    }
                    fs::create_dir_all(&dir)
                        .map_err(DevError::io(format!("cannot make {}", dir.display())))?;
                    client.join_host(&name, &dir).await?;
                    println!("machine {name} is a host of the cluster now (SIMULATED)");
                }
                waiting.remove(&name);
            }
            if waiting.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY * 10).await;
        }
    }
}
