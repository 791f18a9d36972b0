//! Hosts' names on every network, in `/etc/hosts`: they are known while no name server answers.
//!
//! Ours is one block at its end, with a section for every network. Nothing else of the file is touched, and it is replaced
//! as a whole.

use crate::drivers::NetworkTarget;
use quorate_crds::NetworkRole;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

const BEGIN: &str = "# BEGIN quorate: kept by quorate-node, changes in here are lost";
const END: &str = "# END quorate";
const NETWORK: &str = "# network ";

/// The lines of a network: where every host is on it, this one included.
pub(super) fn lines(target: &NetworkTarget, own: &str) -> Vec<String> {
    let spec = &target.spec;
    let assigned = &target.assignment;
    let here = assigned.address.as_deref();
    let here = here.and_then(|address| Some((own, address.split('/').next()?)));
    let peers = assigned.peers.iter();
    let peers = peers.map(|peer| (peer.node.as_str(), peer.address.as_str()));
    let mut hosts: Vec<(&str, IpAddr)> = here
        .into_iter()
        .chain(peers)
        .filter_map(|(node, address)| Some((node, address.parse().ok()?)))
        .collect();
    hosts.sort_unstable();
    let line = |(node, address): (&str, IpAddr)| {
        let mut names = Vec::new();
        if let Some(suffix) = &spec.host_suffix {
            names.push(format!("{node}.{suffix}"));
        }
        // Without more a host is meant on the network that is the cluster's own.
        if spec.role == NetworkRole::BackChannel {
            names.push(node.to_owned());
        }
        (!names.is_empty()).then(|| format!("{address} {}", names.join(" ")))
    };
    hosts.into_iter().filter_map(line).collect()
}

/// What else is to be known by name.
pub(super) fn others(target: &NetworkTarget) -> Vec<(String, IpAddr)> {
    let known = target.assignment.names.iter();
    let known = known.filter_map(|one| Some((one.address.as_str().parse().ok()?, &one.names)));
    known
        .flat_map(|(address, names)| names.iter().map(move |name| (name.to_string(), address)))
        .collect()
}

/// What others have written for a name, where it leads somewhere else.
fn elsewhere(text: &str, (name, own): &(String, IpAddr)) -> Option<IpAddr> {
    foreign(text).find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        let is_it = words.any(|word| word.eq_ignore_ascii_case(name)) && address != *own;
        is_it.then_some(address)
    })
}

/// The lines that are not ours.
fn foreign(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let line = line.trim_end();
        let begins = line == BEGIN;
        let ends = inside && line == END;
        inside = (inside || begins) && !ends;
        !inside && !ends
    })
}

/// The file's text.
fn read(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Puts the lines in place of those of that network; none take its section away. Returns whether anything was changed.
fn put(path: &Path, network: &str, lines: &[String]) -> io::Result<bool> {
    let before = read(path)?;
    let after = with(&before, network, lines);
    if after == before {
        return Ok(false);
    }
    let new = path.with_extension("quorate");
    let mut file = fs::File::create(&new)?;
    if let Ok(known) = fs::metadata(path) {
        file.set_permissions(known.permissions())?;
        fchown(&file, Some(known.uid()), Some(known.gid()))?;
    } else {
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    file.write_all(after.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(true)
}

/// Puts the lines, and what else is to be known by name, in place of those of that network. Returns which of the others
/// lead somewhere else already, and are left out.
pub(super) fn put_with(
    path: &Path,
    network: &str,
    mut lines: Vec<String>,
    others: &[(String, IpAddr)],
) -> io::Result<Vec<String>> {
    let text = read(path)?;
    let mut clashes = Vec::new();
    for named in others {
        let (name, address) = named;
        match elsewhere(&text, named) {
            None => lines.push(format!("{address} {name}")),
            Some(other) => clashes.push(format!("{name} is {other}, not {address},")),
        }
    }
    put(path, network, &lines)?;
    Ok(clashes)
}

/// The text with these lines for that network, and everything else as it is.
fn with(text: &str, network: &str, lines: &[String]) -> String {
    let mut others = String::new();
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let plain = line.trim_end();
        if plain == BEGIN {
            inside = true;
        } else if inside && plain == END {
            inside = false;
        } else if !inside {
            others.push_str(line);
        } else if let Some(name) = plain.strip_prefix(NETWORK) {
            sections.push((name.to_owned(), Vec::new()));
        } else if let Some((_, known)) = sections.last_mut() {
            known.push(plain.to_owned());
        }
    }
    sections.retain(|(name, _)| name != network);
    if !lines.is_empty() {
        sections.push((network.to_owned(), lines.to_vec()));
    }
    sections.sort();
    if sections.is_empty() {
        return others;
    }
    if !others.is_empty() && !others.ends_with('\n') {
        others.push('\n');
    }
    others.push_str(BEGIN);
    others.push('\n');
    for (name, lines) in sections {
        others.push_str(&format!("{NETWORK}{name}\n"));
        for line in lines {
            others.push_str(&line);
            others.push('\n');
        }
    }
    others.push_str(END);
    others.push('\n');
    others
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crds::{HostAlias, NetworkAssignment, NetworkPeer, NetworkSpec};
    use std::sync::Arc;

    const FOREIGN: &str = "127.0.0.1 localhost\n127.0.1.1 an1\n# BEGIN something else\n::1 six\n";

    fn text(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_host_has_a_name_on_every_network_and_its_own_on_the_clusters() {
        let target = |role, suffix: Option<&str>| NetworkTarget {
            name: "bcn".into(),
            spec: Arc::new(NetworkSpec {
                role,
                host_suffix: suffix.map(str::to_owned),
                ..NetworkSpec::default()
            }),
            assignment: NetworkAssignment {
                device: "bond-bcn".to_owned(),
                address: Some("10.20.0.2/16".to_owned()),
                nics: Vec::new(),
                layout: None,
                firewall: None,
                changed_before: Vec::new(),
                peers: vec![NetworkPeer {
                    node: "an1".into(),
                    address: "10.20.0.1".into(),
                }],
                names: vec![HostAlias {
                    address: "10.20.1.1".into(),
                    names: vec!["an1.ipmi".into()],
                }],
            },
            cards: Vec::new(),
        };
        assert_eq!(
            lines(&target(NetworkRole::BackChannel, Some("bcn")), "an2"),
            ["10.20.0.1 an1.bcn an1", "10.20.0.2 an2.bcn an2"]
        );
        assert_eq!(
            lines(&target(NetworkRole::Storage, Some("sn")), "an2"),
            ["10.20.0.1 an1.sn", "10.20.0.2 an2.sn"]
        );
        let plain = target(NetworkRole::Storage, None);
        assert!(lines(&plain, "an2").is_empty());
        let board = (
            "an1.ipmi".to_owned(),
            "10.20.1.1".parse().expect("an address"),
        );
        assert_eq!(others(&plain), [board]);
    }

    #[test]
    fn a_name_that_others_have_written_for_another_address_is_found() {
        let board = |address: &str| {
            let address = address.parse().expect("an address");
            ("an1.ipmi".to_owned(), address)
        };
        let (own, other) = (board("10.20.1.1"), board("10.20.1.9"));
        let ours = with(FOREIGN, "bcn", &text(&["10.20.1.1 an1.ipmi"]));
        assert_eq!(elsewhere(&ours, &other), None, "that line is ours");
        let known = format!("{ours}# 10.9.9.9 an1.ipmi\n10.20.1.1 board AN1.ipmi # the left one\n");
        assert_eq!(elsewhere(&known, &own), None, "it is the same");
        assert_eq!(elsewhere(&known, &other), Some(own.1));
    }

    #[test]
    fn a_name_that_leads_elsewhere_already_is_left_so_and_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("hosts");
        let known = format!("{FOREIGN}10.20.1.9 an2.ipmi\n");
        fs::write(&path, &known).expect("written");
        let board = |name: &str, address: &str| {
            let address = address.parse().expect("an address");
            (name.to_owned(), address)
        };
        let boards = [
            board("an1.ipmi", "10.20.1.1"),
            board("an2.ipmi", "10.20.1.2"),
        ];
        let lines = text(&["10.20.0.1 an1.bcn an1"]);
        let clashes = put_with(&path, "bcn", lines, &boards).expect("put");
        assert_eq!(clashes, ["an2.ipmi is 10.20.1.9, not 10.20.1.2,"]);
        assert_eq!(
            fs::read_to_string(&path).expect("text"),
            format!(
                "{known}{BEGIN}\n# network bcn\n10.20.0.1 an1.bcn an1\n10.20.1.1 an1.ipmi\n{END}\n"
            )
        );
    }

    #[test]
    fn nothing_of_others_is_touched_and_in_the_end_nothing_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("hosts");
        fs::write(&path, FOREIGN).expect("written");
        assert!(put(&path, "sn", &text(&["10.10.0.1 an1.sn"])).expect("put"));
        assert!(put(&path, "bcn", &text(&["10.20.0.1 an1.bcn an1"])).expect("put"));
        assert!(!put(&path, "sn", &text(&["10.10.0.1 an1.sn"])).expect("as it is"));
        let now = fs::read_to_string(&path).expect("text");
        let ours = now
            .strip_prefix(FOREIGN)
            .expect("what others wrote is first");
        assert_eq!(
            ours,
            format!(
                "{BEGIN}\n# network bcn\n10.20.0.1 an1.bcn an1\n# network sn\n10.10.0.1 an1.sn\n{END}\n"
            )
        );
        // Somebody adds a line of his own behind.
        fs::write(&path, format!("{now}10.0.0.9 printer\n")).expect("written");
        put(&path, "bcn", &[]).expect("put");
        put(&path, "sn", &[]).expect("put");
        let left = fs::read_to_string(&path).expect("text");
        assert_eq!(left, format!("{FOREIGN}10.0.0.9 printer\n"));
    }

    #[test]
    fn a_file_that_is_not_there_or_ends_in_the_middle_of_a_line_is_no_obstacle() {
        let lines = text(&["10.20.0.1 an1.bcn"]);
        let fresh = with("", "bcn", &lines);
        assert_eq!(
            fresh,
            format!("{BEGIN}\n# network bcn\n{}\n{END}\n", lines[0])
        );
        assert_eq!(
            with("127.0.0.1 a", "bcn", &lines),
            format!("127.0.0.1 a\n{fresh}")
        );
        assert_eq!(with(&fresh, "bcn", &lines), fresh, "the same is the same");
    }
}
