//! What is asked at the desk, where the command line is not translated: asked in the hosts themselves, again and again, it takes them
//! the time that their daemons need.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use quorate_lab::Room;
use serde_json::Value;

use crate::stories::packages::packages;

/// What the cluster answers, whichever member is reached.
pub(super) fn ask(room: &Room, arguments: &[&str]) -> Result<String, String> {
    run(room, &room.place().join("context.yaml"), arguments)
}

/// What the member on this host answers.
pub(super) fn ask_member(room: &Room, host: u8, arguments: &[&str]) -> Result<String, String> {
    run(room, &context_of(room, host), arguments)
}

fn run(room: &Room, context: &Path, arguments: &[&str]) -> Result<String, String> {
    let program = command_line(room).display().to_string();
    let context = context.display().to_string();
    let arguments = [&["--config", &context], arguments].concat();
    let output = room
        .at_desk(&program, &arguments)
        .map_err(|error| error.to_string())?;
    if output.code == 0 {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The administrator's context with nobody in it but the member on this host.
fn context_of(room: &Room, host: u8) -> PathBuf {
    let place = room.place();
    let path = place.join(format!("context-node{host}.json"));
    if !path.exists() {
        let all = fs::read_to_string(place.join("context.yaml")).expect("the room keeps it");
        let mut all: Value = serde_saphyr::from_str(&all).expect("a context");
        for context in all["contexts"].as_array_mut().expect("contexts") {
            let own = format!("10.20.0.{host}:");
            context["endpoints"]
                .as_array_mut()
                .expect("endpoints")
                .retain(|endpoint| endpoint.as_str().is_some_and(|it| it.starts_with(&own)));
        }
        fs::write(&path, all.to_string()).expect("written");
        // The administrator's key is in it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("protected");
    }
    path
}

/// The command line from its package, for this machine.
fn command_line(room: &Room) -> PathBuf {
    let place = room.place().join("programs");
    let program = place.join("usr/bin/quorate");
    if !program.exists() {
        let files = packages();
        let package = files.files().last().expect("three packages");
        let unpacked = std::process::Command::new("dpkg-deb")
            .arg("-x")
            .args([package, &place])
            .status()
            .expect("dpkg-deb is there");
        assert!(unpacked.success(), "{} is whole", package.display());
    }
    program
}
