//! What a host of the room is made of, and QEMU's command line for it.
//!
//! A snapshot can be restored only into a machine with the same devices in the same slots, so one function writes
//! the command line of the template, of a restored clone and of a cold boot alike.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::frame::PORT_NAME;

/// The three networks of a host, by the names that go into NICs, bonds and bridges.
pub const NETWORKS: [Network; 3] = [
    Network {
        name: "bcn",
        prefix: "10.20",
        purpose: "back-channel: cluster, migration, BMCs and PDUs",
    },
    Network {
        name: "sn",
        prefix: "10.10",
        purpose: "storage: replication",
    },
    Network {
        name: "ifn",
        prefix: "10.255",
        purpose: "internet-facing: guests",
    },
];

/// The two switches; each network has one NIC of each host on each of them.
pub const SWITCHES: [char; 2] = ['a', 'b'];

/// One of the three networks.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// `bcn`, `sn` or `ifn`.
    pub name: &'static str,
    /// The first two numbers of its addresses; the mask has 16 bits.
    pub prefix: &'static str,
    /// What it is for.
    pub purpose: &'static str,
}

/// How the processor is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The real processor.
    Kvm,
    /// Every instruction translated.
    Tcg,
}

/// What all hosts of a room are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// How the processor is had.
    pub accelerator: Accelerator,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The sizes of the data disks in MiB, `/dev/vdc` first.
    pub data_disks_mib: Vec<u32>,
}

/// Where the parts of one machine are.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The root file system, shared and read-only.
    pub root: &'a Path,
    /// The kernel.
    pub kernel: &'a Path,
    /// The initial RAM disk.
    pub initrd: &'a Path,
    /// The directory of this machine's sockets, logs and disks.
    pub directory: &'a Path,
    /// The memory's backing file.
    pub memory: Memory<'a>,
    /// The TAP devices' common prefix: `h1-` for `h1-bcn-a`.
    pub tap_prefix: &'a str,
    /// What the hardware watchdog does when it is not fed.
    pub watchdog: Watchdog,
    /// More words for the kernel.
    pub kernel_arguments: &'a str,
    /// The other end of the BMC's cable; none while a template is made.
    pub bmc: Option<&'a Path>,
}

/// Where a machine's memory comes from.
#[derive(Debug, Clone, Copy)]
pub enum Memory<'a> {
    /// Written through to this file: a template is being made.
    Template(&'a Path),
    /// A private copy of the template's file; the machine waits to be told the rest of its state.
    Restored(&'a Path),
    /// New, for a cold boot.
    Fresh,
}

/// What the i6300esb watchdog does when it is not fed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watchdog {
    /// Resets the host, which boots again.
    #[default]
    Reset,
    /// Switches the host off.
    Poweroff,
}

impl Parts<'_> {
    /// A file of this machine.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// The name of a data disk's block node, and of its device with `-device` behind it.
#[must_use]
pub fn data_disk(index: usize) -> String {
    format!("data{index}")
}

/// Kernel arguments that every host is booted with.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet mitigations=off nokaslr audit=0 apparmor=0 tsc=reliable no_timer_check \
     random.trust_cpu=on rcupdate.rcu_expedited=1 nowatchdog panic=5 net.ifnames=0";

impl Hardware {
    /// QEMU's command line.
    pub fn command(&self, command: &mut Command, parts: &Parts<'_>) {
        let memory = format!("size={}M", self.memory_mib);
        match self.accelerator {
            Accelerator::Kvm => command.args(["-accel", "kvm", "-cpu", "host"]),
            Accelerator::Tcg => {
                command.args(["-accel", "tcg,thread=multi,tb-size=128", "-cpu", "Nehalem"])
            }
        };
        command
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-vga",
                "none",
                "-smp",
                "1",
            ])
            .args([
                "-M",
                "q35,memory-backend=ram",
                "-m",
                &format!("{}M", self.memory_mib),
                "-rtc",
                "base=utc",
            ])
            .arg("-object")
            .arg(match parts.memory {
                Memory::Template(file) => {
                    format!(
                        "memory-backend-file,id=ram,{memory},mem-path={},share=on",
                        file.display()
                    )
                }
                Memory::Restored(file) => {
                    format!(
                        "memory-backend-file,id=ram,{memory},mem-path={},share=off",
                        file.display()
                    )
                }
                Memory::Fresh => format!("memory-backend-ram,id=ram,{memory}"),
            })
            .arg("-kernel")
            .arg(parts.kernel)
            .arg("-initrd")
            .arg(parts.initrd)
            .args([
                "-append",
                format!("{KERNEL_ARGUMENTS} {}", parts.kernel_arguments).trim(),
            ])
            .arg("-qmp")
            .arg(format!(
                "unix:{},server=on,wait=off",
                parts.file("qmp.sock").display()
            ));
        self.disks(command, parts);
        for (position, (network, switch)) in nics().enumerate() {
            let nic = format!("{}-{switch}", network.name);
            command
                .arg("-netdev")
                .arg(format!(
                    "tap,id={nic},ifname={}{nic},script=no,downscript=no",
                    parts.tap_prefix
                ))
                .arg("-device")
                .arg(format!(
                    "virtio-net-pci,netdev={nic},id=nic-{nic},mac=52:54:00:51:00:{position:02x}"
                ));
        }
        let console = parts.file("console.sock");
        let agent = parts.file("agent.sock");
        command
            .arg("-chardev")
            .arg(format!(
                "socket,id=console,path={},server=on,wait=off",
                console.display()
            ))
            .args(["-serial", "chardev:console", "-device", "virtio-serial-pci"])
            .arg("-chardev")
            .arg(format!(
                "socket,id=agent,path={},server=on,wait=off",
                agent.display()
            ))
            .args([
                "-device",
                &format!("virtserialport,chardev=agent,name={PORT_NAME}"),
            ])
            .arg("-chardev")
            .arg(match parts.bmc {
                Some(path) => format!("socket,id=bmc,path={},reconnect=1", path.display()),
                None => "null,id=bmc".to_owned(),
            })
            .args([
                "-device",
                "ipmi-bmc-extern,chardev=bmc,id=bmc0",
                "-device",
                "isa-ipmi-kcs,bmc=bmc0",
            ])
            .args(["-device", "i6300esb", "-action"])
            .arg(match parts.watchdog {
                Watchdog::Reset => "watchdog=reset",
                Watchdog::Poweroff => "watchdog=poweroff",
            });
        if matches!(parts.memory, Memory::Restored(_)) {
            command.args(["-incoming", "defer"]);
        }
    }

    fn disks(&self, command: &mut Command, parts: &Parts<'_>) {
        let mut disk = |node: &str, file: &Path, options: &str, device: &str| {
            command
                .arg("-blockdev")
                .arg(format!(
                    "driver=file,node-name={node}-file,filename={},{options}",
                    file.display()
                ))
                .args([
                    "-blockdev",
                    &format!("driver=raw,node-name={node},file={node}-file,{options}"),
                ])
                .args([
                    "-device",
                    &format!("virtio-blk-pci,id={node}-device,drive={node},serial={node}{device}"),
                ]);
        };
        // Two hosts may never lock each other out of the image that they only read.
        disk("root", parts.root, "read-only=on", "");
        disk("state", &parts.file("state.img"), "discard=unmap", "");
        for index in 0..self.data_disks_mib.len() {
            let node = data_disk(index);
            let file = parts.file(&format!("{node}.img"));
            disk(
                &node,
                &file,
                "discard=unmap",
                ",werror=report,rerror=report",
            );
        }
    }
}

/// The NICs of a host in the order of their slots.
pub fn nics() -> impl Iterator<Item = (Network, char)> {
    NETWORKS
        .into_iter()
        .flat_map(|network| SWITCHES.into_iter().map(move |switch| (network, switch)))
}
