//! The real agents of the fence-agents package, against devices that run here: OpenIPMI's board and a PDU that speaks
//! SNMP; and scripts for what a good agent never does.

mod board;
mod cluster;
mod ipmi;
mod members;
mod pdu;
mod scripts;
mod strip;

use std::{collections::BTreeMap, fs, path::Path, process::Command, sync::Arc, time::Duration};

use quorate_controller::fencing::agents::{
    Action, AgentReport, AgentRequest, LocalAgents, SecretError, SecretReference, SecretSource,
};

/// Where Debian's packages put agents.
const AGENTS: &str = "/usr/sbin";

/// The secrets of a test, by entry.
struct Told(BTreeMap<String, String>);

impl SecretSource for Told {
    fn values(
        &self,
        references: &[SecretReference],
    ) -> Result<BTreeMap<String, String>, SecretError> {
        references
            .iter()
            .map(|reference| {
                let value = self
                    .0
                    .get(&reference.key)
                    .ok_or_else(|| SecretError::Missing {
                        parameter: reference.parameter.clone(),
                        secret: reference.secret.clone(),
                        key: reference.key.clone(),
                    })?;
                Ok((reference.parameter.clone(), value.clone()))
            })
            .collect()
    }
}

/// The agents in a directory, told these secrets.
fn agents_in(directory: &Path, secrets: &[(&str, &str)]) -> LocalAgents {
    let secrets = secrets
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    LocalAgents::new(vec![directory.to_owned()], Arc::new(Told(secrets)))
}

/// A question to a device, its password under the entry `password` of a Secret.
fn request(agent: &str, parameters: &[(&str, &str)], secret: Option<&str>) -> AgentRequest {
    AgentRequest {
        device: "device".into(),
        node: Some("node1".into()),
        plug: String::new(),
        agent: agent.into(),
        action: Action::Status,
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        secrets: secret
            .map(|parameter| SecretReference {
                parameter: parameter.into(),
                secret: "device".into(),
                key: "password".into(),
            })
            .into_iter()
            .collect(),
        timeout: Duration::from_secs(60),
        term: 1,
    }
}

async fn ask(agents: &LocalAgents, request: &AgentRequest, action: Action) -> AgentReport {
    let request = AgentRequest {
        action,
        ..request.clone()
    };
    agents.run(request).await
}

/// Whether the programs are there that a test needs. Without them it is skipped and says so, except where everything
/// must be there.
fn have(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| {
            !["/usr/sbin", "/usr/bin"]
                .iter()
                .any(|directory| Path::new(directory).join(program).exists())
        })
        .collect();
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    let remedy = "apt-get install fence-agents openipmi ipmitool snmp";
    assert!(
        std::env::var_os("CI").is_none(),
        "{missing} is missing: {remedy}"
    );
    println!("skipped: {missing} is missing: {remedy}");
    false
}

/// Writes a program. The kernel runs no file that anybody has open for writing, and a process that another test begins has
/// all that is open in this one until it becomes its program: another program writes this one.
fn write_program(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).expect("written");
    let written = Command::new("install")
        .args(["-m", "755"])
        .args([draft.as_path(), path])
        .status();
    let status = written.expect("install runs");
    assert!(status.success(), "{} is not written", path.display());
}

/// A port of this machine that nobody uses at this moment.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("its number").port()
}
