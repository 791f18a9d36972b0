//! What a guest is made of.

use super::condition::SecretKey;
use crate::scalar::{CpuSet, Label, MacAddress, Name, Size};
use crate::shape::rules;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a guest's processors look, and where they run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Cpu {
    /// What the guest sees.
    pub model: CpuModel,
    /// A model by libvirt's name, in place of `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub named_model: Option<String>,
    /// How the processors are arranged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// The hosts' processors to run on. By default all but the reserved ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<CpuSet>,
    /// Give each of its processors one of the host's, for itself alone.
    pub dedicated: bool,
    /// Its share when processors are short.
    #[schemars(range(min = 1, max = 10000))]
    pub weight: u32,
}

impl Default for Cpu {
    fn default() -> Self {
        Self {
            model: CpuModel::Common,
            named_model: None,
            topology: None,
            pin: None,
            dedicated: false,
            weight: 100,
        }
    }
}

/// What a guest sees of the processor.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum CpuModel {
    /// What all hosts of its domain have in common: it can move between them.
    #[default]
    Common,
    /// All that the host has: it can move to equal hosts only.
    Host,
    /// The least that current systems need: it can move anywhere.
    Baseline,
}

/// How processors are arranged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Topology {
    /// Sockets.
    #[schemars(range(min = 1, max = 64))]
    pub sockets: u32,
    /// Cores of a socket.
    #[schemars(range(min = 1, max = 256))]
    pub cores: u32,
    /// Threads of a core.
    #[schemars(range(min = 1, max = 8))]
    pub threads: u32,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            sockets: 1,
            cores: 1,
            threads: 1,
        }
    }
}

/// A disk of a guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    (
        "(has(self.volume) ? 1 : 0) + (has(self.size) ? 1 : 0) + (has(self.file) ? 1 : 0) + \
         (has(self.media) ? 1 : 0) + (self.empty ? 1 : 0) == 1",
        "a disk is exactly one of volume, size, file, media and empty",
    ),
    (
        "has(self.size) == has(self.pool)",
        "size makes a volume of its own and needs a pool: give both or neither",
    ),
    (
        "self.device == 'Cdrom' || !(has(self.media) || self.empty)",
        "media and empty are for the device Cdrom only",
    ),
    (
        "self.io != 'Native' || self.cache in ['None', 'DirectSync'] || self.device == 'Cdrom'",
        "io Native needs the cache None or DirectSync",
    )
]))]
pub struct Disk {
    /// Its name in this guest: `system`.
    pub name: Label,
    /// What the guest sees.
    #[serde(default)]
    pub device: DiskDevice,
    /// The Volume that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Name>,
    /// Make a Volume of this size for it, named after guest and disk, and delete it with the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// The StoragePool for that Volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Name>,
    /// The file that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileDisk>,
    /// The medium in the drive: `media://debian-13.iso`, a file in the directory for Media of a
    /// SharedFilesystem.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = r"^media:\/\/\.{0,2}[^/.][^/]*(/\.{0,2}[^/.][^/]*)*$")
    )]
    pub media: Option<String>,
    /// An empty drive: what was in it is ejected.
    #[serde(default)]
    pub empty: bool,
    /// How it is attached.
    #[serde(default)]
    pub bus: DiskBus,
    /// Whether the host caches it. Anything but None and DirectSync forbids live migration.
    #[serde(default)]
    pub cache: CacheMode,
    /// How the host reads and writes it.
    #[serde(default)]
    pub io: IoMode,
    /// Pass on that blocks are no longer used.
    #[serde(default = "default_discard")]
    pub discard: bool,
    /// Refuse writes.
    #[serde(default)]
    pub read_only: bool,
    /// Accept that another guest uses it too.
    #[serde(default)]
    pub shareable: bool,
    /// Its place among the disks to start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub boot_order: Option<u32>,
    /// The serial number that the guest sees. By default the disk's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[A-Za-z0-9_.+-]+$"))]
    pub serial: Option<String>,
}

/// What a guest sees.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum DiskDevice {
    /// A disk.
    #[default]
    Disk,
    /// A drive for media.
    Cdrom,
}

/// A file on a shared filesystem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileDisk {
    /// The SharedFilesystem.
    pub filesystem: Name,
    /// The file, from the directory for images, and below it: `..` is no part of it.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = r"^\.{0,2}[^/.][^/]*(/\.{0,2}[^/.][^/]*)*$")
    )]
    pub path: String,
    /// How it is written.
    #[serde(default)]
    pub format: ImageFormat,
}

/// How a disk file is written.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum ImageFormat {
    /// Block by block.
    #[default]
    Raw,
    /// As qcow2.
    Qcow2,
}

/// How a disk is attached.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum DiskBus {
    /// virtio-blk.
    #[default]
    Virtio,
    /// virtio-scsi.
    VirtioScsi,
    /// SATA: no driver needed.
    Sata,
    /// IDE: for old systems.
    Ide,
    /// Xen's own.
    Xen,
}

/// Whether the host caches a disk.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum CacheMode {
    /// It does not.
    #[default]
    None,
    /// It does not, and every write waits for the disk.
    DirectSync,
    /// Reads only.
    WriteThrough,
    /// Reads and writes.
    WriteBack,
}

/// How the host reads and writes a disk.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum IoMode {
    /// With the kernel's asynchronous calls.
    #[default]
    Native,
    /// With threads.
    Threads,
    /// With io_uring.
    IoUring,
}

/// A network card of a guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestNic {
    /// Its name in this guest: `eth0`.
    pub name: Label,
    /// The Network that it is on.
    pub network: Name,
    /// What the guest sees.
    #[serde(default)]
    pub model: NicModel,
    /// Its hardware address. By default one that Quorate makes and keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Whether its cable is plugged in.
    #[serde(default = "default_connected")]
    pub connected: bool,
    /// Its place among the cards to start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub boot_order: Option<u32>,
}

/// What a guest sees.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum NicModel {
    /// virtio-net.
    #[default]
    Virtio,
    /// An Intel card.
    E1000e,
    /// A Realtek card: for old systems.
    Rtl8139,
    /// Xen's own.
    Xen,
}

/// A guest's screen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Display {
    /// How it is looked at. It is reached through Quorate only.
    pub protocol: DisplayProtocol,
    /// The graphics card.
    pub video: VideoModel,
    /// A password, besides Quorate's own access control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretKey>,
    /// Give it a pointer that needs no driver.
    pub tablet: bool,
}

impl Default for Display {
    fn default() -> Self {
        Self {
            protocol: DisplayProtocol::Vnc,
            video: VideoModel::Vga,
            password: None,
            tablet: true,
        }
    }
}

/// How a screen is looked at.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum DisplayProtocol {
    /// VNC.
    #[default]
    Vnc,
    /// SPICE.
    Spice,
    /// It has none.
    None,
}

/// A graphics card.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum VideoModel {
    /// Plain VGA.
    #[default]
    Vga,
    /// For old systems.
    Cirrus,
    /// virtio-gpu.
    Virtio,
    /// For SPICE.
    Qxl,
}

fn default_discard() -> bool {
    true
}

fn default_connected() -> bool {
    true
}
