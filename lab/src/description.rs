//! What a person or a test asks for.

use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::hardware::{NETWORKS, Watchdog};

/// Each PDU has this many outlets, and each host one of them on each.
pub const OUTLETS: u8 = 8;

/// A room, as a manifest or built up in a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Description {
    /// The room's name; rooms of different names run beside each other.
    pub name: String,
    /// How many hosts, 1 to 8: `node1`, `node2`, …
    pub hosts: u8,
    /// What the systems on them call themselves, where that is not `node1`, `node2`, …
    pub names: Vec<String>,
    /// The memory of each host in MiB.
    pub memory_mib: u32,
    /// The sizes of each host's data disks in MiB: `/dev/vdc`, `/dev/vdd`, …
    pub data_disks_mib: Vec<u32>,
    /// What the hardware watchdog of each host does.
    pub watchdog: Watchdog,
    /// Process 1 of each host.
    pub init: Init,
}

/// Process 1 of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// A script, restored from the template in a fraction of a second.
    #[default]
    Script,
    /// systemd, booted each time: for tests of units and packages.
    Systemd,
}

impl Default for Description {
    fn default() -> Description {
        Description {
            name: "lab".to_owned(),
            hosts: 3,
            names: Vec::new(),
            memory_mib: 768,
            data_disks_mib: vec![512, 512],
            watchdog: Watchdog::Reset,
            init: Init::Script,
        }
    }
}

impl Description {
    /// Reads a manifest.
    pub fn from_yaml(text: &str) -> Result<Description, LabError> {
        let description: Description = serde_saphyr::from_str(text).map_err(|error| {
            LabError::Refused(format!("the description of the room is not valid: {error}"))
        })?;
        description.check()?;
        Ok(description)
    }

    /// A room of this name, otherwise as the default.
    #[must_use]
    pub fn named(name: &str) -> Description {
        Description {
            name: name.to_owned(),
            ..Description::default()
        }
    }

    /// The same with so many hosts.
    #[must_use]
    pub fn hosts(mut self, hosts: u8) -> Description {
        self.hosts = hosts;
        self
    }

    /// Whether such a room can be built.
    pub fn check(&self) -> Result<(), LabError> {
        let refuse = |text: String| Err(LabError::Refused(text));
        let good_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > 30 || !self.name.chars().all(good_name) {
            return refuse(format!(
                "a room cannot be called {:?}; allowed are 1 to 30 lower-case letters, digits and dashes",
                self.name
            ));
        }
        if !(1..=OUTLETS).contains(&self.hosts) {
            return refuse(format!(
                "{} hosts; a room has 1 to {OUTLETS}, one per outlet of a PDU",
                self.hosts
            ));
        }
        let plain = |name: &String| {
            (1..=30).contains(&name.len())
                && name.chars().all(good_name)
                && !name.starts_with("node")
        };
        if self.names.len() > usize::from(self.hosts) || !self.names.iter().all(plain) {
            return refuse(format!(
                "hosts called {:?}; allowed is one name per host, of 1 to 30 lower-case letters, digits and dashes, that does not begin with \"node\"",
                self.names
            ));
        }
        if let Some(twice) = self
            .names
            .iter()
            .enumerate()
            .find_map(|(index, name)| self.names[..index].contains(name).then_some(name))
        {
            return refuse(format!("two hosts called {twice}"));
        }
        if !(256..=65_536).contains(&self.memory_mib) {
            return refuse(format!(
                "{} MiB of memory per host; allowed are 256 to 65536",
                self.memory_mib
            ));
        }
        if self.data_disks_mib.len() > 8
            || self
                .data_disks_mib
                .iter()
                .any(|mib| !(8..=1 << 20).contains(mib))
        {
            return refuse(format!(
                "data disks of {:?} MiB; allowed are up to 8 disks of 8 MiB to 1 TiB",
                self.data_disks_mib
            ));
        }
        Ok(())
    }

    /// What the system on this host calls itself.
    #[must_use]
    pub fn called(&self, number: u8) -> String {
        let own = self.names.get(usize::from(number).wrapping_sub(1));
        own.cloned().unwrap_or_else(|| host_name(number))
    }

    /// `/etc/hosts` of every host: each name on each network, the BMCs and the PDUs.
    #[must_use]
    pub fn hosts_file(&self) -> String {
        let mut text = "127.0.0.1 localhost\n".to_owned();
        for number in 1..=self.hosts {
            let mut names = vec![host_name(number), self.called(number)];
            names.dedup();
            let all = |suffix: &str| -> String {
                let each = names.iter().map(|name| format!(" {name}{suffix}"));
                each.collect()
            };
            for network in NETWORKS {
                let plain = if network.name == "bcn" {
                    all("")
                } else {
                    String::new()
                };
                text.push_str(&format!(
                    "{}{}{plain}\n",
                    address(network.prefix, number),
                    all(&format!(".{}", network.name)),
                ));
            }
            text.push_str(&format!("{}{}\n", bmc_address(number), all(".ipmi")));
        }
        for pdu in Feed::BOTH {
            text.push_str(&format!("{} {}\n", pdu.address(), pdu.pdu_name()));
        }
        text.push_str(&format!("{DESK_ADDRESS} desk\n"));
        text
    }
}

/// The operator's desk: where the room's own programs are, on the back-channel.
pub const DESK_ADDRESS: &str = "10.20.0.254";

/// `node1` for 1.
#[must_use]
pub fn host_name(number: u8) -> String {
    format!("node{number}")
}

/// A host's address on the network with this prefix.
#[must_use]
pub fn address(prefix: &str, number: u8) -> String {
    format!("{prefix}.0.{number}")
}

/// Where a host's BMC answers.
#[must_use]
pub fn bmc_address(number: u8) -> String {
    format!("10.20.1.{number}")
}

/// One of the two ways that power takes to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feed {
    /// Over PDU 1 to the first power supply.
    A,
    /// Over PDU 2 to the second.
    B,
}

impl Feed {
    /// Both of them.
    pub const BOTH: [Feed; 2] = [Feed::A, Feed::B];

    /// 0 or 1.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Feed::A => 0,
            Feed::B => 1,
        }
    }

    /// Where its PDU answers.
    #[must_use]
    pub fn address(self) -> &'static str {
        match self {
            Feed::A => "10.20.2.1",
            Feed::B => "10.20.2.2",
        }
    }

    /// The name of its PDU.
    #[must_use]
    pub fn pdu_name(self) -> &'static str {
        match self {
            Feed::A => "pdu1",
            Feed::B => "pdu2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_only_what_differs_from_the_default() {
        let room =
            Description::from_yaml("name: two\nhosts: 2\ndataDisksMib: [64]\n").expect("valid");
        assert_eq!(
            room,
            Description {
                data_disks_mib: vec![64],
                ..Description::named("two").hosts(2)
            }
        );
    }

    #[test]
    fn a_misspelt_field_and_a_ninth_host_are_refused() {
        let misspelt = Description::from_yaml("name: two\nhost: 2\n")
            .expect_err("no such field")
            .to_string();
        assert!(misspelt.contains("host"), "{misspelt}");
        let nine = Description::from_yaml("hosts: 9\n")
            .expect_err("only eight outlets")
            .to_string();
        assert!(nine.contains("1 to 8"), "{nine}");
    }

    #[test]
    fn a_host_with_a_name_of_its_own_is_found_under_both() {
        let room = Description::from_yaml("hosts: 2\nnames: [web]\n").expect("valid");
        assert_eq!([room.called(1), room.called(2)], ["web", "node2"]);
        let file = room.hosts_file();
        for line in [
            "10.20.0.1 node1.bcn web.bcn node1 web",
            "10.10.0.1 node1.sn web.sn",
            "10.20.1.1 node1.ipmi web.ipmi",
            "10.20.0.2 node2.bcn node2",
        ] {
            assert!(file.contains(line), "{line} is missing in\n{file}");
        }
    }

    #[test]
    fn names_that_would_mix_up_hosts_are_refused() {
        for names in ["[a, a]", "[node2]", "[a, b, c]", "[\"\"]"] {
            Description::from_yaml(&format!("hosts: 2\nnames: {names}\n"))
                .expect_err("two hosts, each with one name of its own");
        }
    }

    #[test]
    fn every_host_has_a_name_on_every_network() {
        let file = Description::named("two").hosts(2).hosts_file();
        for line in [
            "10.20.0.2 node2.bcn node2",
            "10.10.0.2 node2.sn",
            "10.255.0.1 node1.ifn",
            "10.20.1.2 node2.ipmi",
        ] {
            assert!(file.contains(line), "{line} is missing in\n{file}");
        }
    }
}
