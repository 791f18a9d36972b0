//! Cables and switches: bridges and TAPs in the room's own network namespace, which ends with the room.
//!
//! Each switch is one bridge per network, as if it kept the networks apart as VLANs; the two switches are joined by one
//! cable per network. BMCs and PDUs have one cable each, like real ones: odd hosts' BMCs and `pdu1` on switch a,
//! even ones and `pdu2` on switch b.

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::description::{DESK_ADDRESS, Description, Feed, bmc_address};
use crate::error::{LabError, OnFile};
use crate::hardware::{NETWORKS, SWITCHES, nics};

/// The TAP of one NIC of one host.
pub(crate) fn tap(host: u8, nic: &str) -> String {
    format!("h{host}-{nic}")
}

/// Builds the room's network in the namespace that this process is in.
pub(crate) async fn build(description: &Description) -> Result<(), LabError> {
    for (name, value) in [
        ("ipv6/conf/all/disable_ipv6", "1"),
        ("ipv6/conf/default/disable_ipv6", "1"),
        // A device answers only on its own cable, also when two of them are in one subnet.
        ("ipv4/conf/all/arp_ignore", "1"),
        ("ipv4/conf/all/arp_announce", "2"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
    ] {
        let path = format!("/proc/sys/net/{name}");
        match std::fs::write(&path, value) {
            // A kernel without IPv6 has nothing to switch off.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            written => written.on("write", &path)?,
        }
    }
    ip(&plan(description)).await
}

fn plan(description: &Description) -> String {
    let mut lines = vec!["link set lo up".to_owned()];
    for network in NETWORKS {
        let net = network.name;
        for switch in SWITCHES {
            lines.push(format!("link add {net}-{switch} type bridge"));
            lines.push(format!("link set {net}-{switch} up"));
        }
        lines.push(format!(
            "link add isl-{net}-a type veth peer name isl-{net}-b"
        ));
        for switch in SWITCHES {
            lines.push(format!(
                "link set isl-{net}-{switch} master {net}-{switch} up"
            ));
        }
    }
    for host in 1..=description.hosts {
        for (network, switch) in nics() {
            let bridge = format!("{}-{switch}", network.name);
            let tap = tap(host, &bridge);
            lines.push(format!("tuntap add dev {tap} mode tap"));
            lines.push(format!("link set {tap} master {bridge} up"));
        }
    }
    for (table, switch) in SWITCHES.into_iter().enumerate() {
        let table = table + 101;
        lines.push(format!(
            "link add oob-{switch} type veth peer name oob-port-{switch}"
        ));
        lines.push(format!("link set oob-port-{switch} master bcn-{switch} up"));
        lines.push(format!("link set oob-{switch} up"));
        lines.push(format!(
            "route add 10.20.0.0/16 dev oob-{switch} table {table}"
        ));
    }
    for (address, switch) in devices(description) {
        lines.push(format!("address add {address}/32 dev oob-{switch}"));
        let table = if switch == 'a' { 101 } else { 102 };
        lines.push(format!("rule add from {address} lookup {table}"));
    }
    lines.push(format!(
        "route add 10.20.0.0/16 dev oob-a src {DESK_ADDRESS}"
    ));
    lines.join("\n") + "\n"
}

fn devices(description: &Description) -> Vec<(String, char)> {
    let mut devices = vec![(DESK_ADDRESS.to_owned(), 'a')];
    for host in 1..=description.hosts {
        devices.push((bmc_address(host), if host % 2 == 1 { 'a' } else { 'b' }));
    }
    for feed in Feed::BOTH {
        devices.push((feed.address().to_owned(), SWITCHES[feed.index()]));
    }
    devices
}

/// The cable of a host stays connected and carries nothing, or carries again.
pub(crate) async fn black_hole(host: u8, nic: &str, hole: bool) -> Result<(), LabError> {
    let tap = tap(host, nic);
    ip(&if hole {
        format!("link set {tap} nomaster\n")
    } else {
        format!("link set {tap} master {nic}\n")
    })
    .await
}

/// The cables between the switches, and those of the devices on this one, lose their carrier or get it back.
pub(crate) async fn switch_power(switch: char, on: bool) -> Result<(), LabError> {
    let state = if on { "up" } else { "down" };
    let mut lines: Vec<String> = NETWORKS
        .iter()
        .map(|network| format!("link set isl-{}-{switch} {state}", network.name))
        .collect();
    lines.push(format!("link set oob-port-{switch} {state}"));
    ip(&(lines.join("\n") + "\n")).await
}

async fn ip(batch: &str) -> Result<(), LabError> {
    let mut command = Command::new("ip");
    command
        .args(["-batch", "-"])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().on("start", "ip")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(batch.as_bytes())
            .await
            .on("write to", "ip")?;
    }
    let output = child.wait_with_output().await.on("wait for", "ip")?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Program {
        command: "ip -batch -".to_owned(),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nic_of_every_host_is_on_its_own_switch() {
        let plan = plan(&Description::named("two").hosts(2));
        for line in [
            "link set h1-bcn-a master bcn-a up",
            "link set h2-ifn-b master ifn-b up",
        ] {
            assert!(
                plan.lines().any(|found| found == line),
                "{line} is missing in\n{plan}"
            );
        }
        assert_eq!(plan.matches("tuntap add").count(), 12);
    }

    #[test]
    fn no_name_is_too_long_for_the_kernel() {
        let plan = plan(&Description::named("full").hosts(8));
        for word in plan.split_whitespace().filter(|word| word.contains('-')) {
            assert!(word.len() <= 15, "{word}");
        }
    }
}
