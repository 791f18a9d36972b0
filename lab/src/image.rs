//! The image that all hosts boot: a Debian root with everything that Quorate drives, read-only and shared by all.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::cache::{Cache, key, remove_tree};
use crate::error::{LabError, OnFile};
use crate::modules::load_order;
use crate::programs::{contained, run};
use crate::progress::Progress;

/// The Debian release that the hosts run.
const SUITE: &str = "bookworm";

/// Raised when the way of making an image changes in a way that the other parts of its key do not show.
const RECIPE: &str = "3";

/// What is installed in the hosts, one package a line.
const PACKAGES: &str = include_str!("../guest/packages");

/// Kinds of drivers that no host of the room has; they are more than half of the kernel's modules.
const UNUSED_MODULES: &[&str] = &[
    "sound",
    "drivers/gpu",
    "drivers/media",
    "drivers/iio",
    "drivers/staging",
    "drivers/bluetooth",
    "drivers/comedi",
    "drivers/usb",
    "drivers/mtd",
    "drivers/isdn",
    "drivers/hid",
    "drivers/hwmon",
    "drivers/mmc",
    "drivers/net/wireless",
    "drivers/net/ethernet",
    "drivers/net/usb",
    "drivers/net/can",
    "drivers/infiniband",
    "drivers/accessibility",
];

/// What the initial RAM disk must load before it can mount the image, and what the Linux guest needs to hear its power button.
/// `erofs` asks for a checksum by name, which `modules.dep` does not show.
const BOOT_MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "crc32c_generic",
    "erofs",
    "overlay",
    "button",
    "evdev",
];

/// A whole image in the cache.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    directory: PathBuf,
}

impl Image {
    /// The image from the cache, made when it is not there yet (about two minutes).
    pub async fn obtain(cache: &Cache, progress: &Progress) -> Result<Image, LabError> {
        let name = format!(
            "image-{}",
            key(&[
                SUITE.as_bytes(),
                RECIPE.as_bytes(),
                PACKAGES.as_bytes(),
                UNUSED_MODULES.join(" ").as_bytes(),
                BOOT_MODULES.join(" ").as_bytes(),
            ])
        );
        let directory = cache
            .entry(&name, progress, |draft| make(draft, progress))
            .await?;
        Ok(Image { directory })
    }

    /// The root file system.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.join("root.erofs")
    }

    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// `busybox` and the modules in `modules/`, with their order in `modules/order`.
    #[must_use]
    pub fn boot_files(&self) -> PathBuf {
        self.directory.join("boot")
    }

    /// What tells this image from any other.
    #[must_use]
    pub fn name(&self) -> String {
        self.directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

async fn make(draft: PathBuf, progress: &Progress) -> Result<(), LabError> {
    let root = draft.join("root");
    progress.step("installing Debian into the image (a minute or two; needs a Debian mirror)");
    let packages: Vec<&str> = PACKAGES
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    let mut install = contained("mmdebstrap", false);
    install
        // The hosts have a RAM disk of our own; Debian's would take half a minute to make.
        .env("INITRD", "No")
        .args([
            "--variant=minbase",
            "--mode=root",
            "--aptopt=APT::Install-Recommends \"false\"",
            // What a power cut would tear here is thrown away and made again.
            "--dpkgopt=force-unsafe-io",
        ])
        .args(
            ["doc", "man", "locale"]
                .map(|kind| format!("--dpkgopt=path-exclude=/usr/share/{kind}/*")),
        )
        .arg(format!("--include={}", packages.join(",")))
        .arg(SUITE)
        .arg(&root);
    run(&mut install).await?;

    // The hosts' own dpkg is not bound by what served to make them.
    let options = root.join("etc/dpkg/dpkg.cfg.d/99mmdebstrap");
    fs::remove_file(&options).on("remove", &options)?;

    progress.step("keeping the kernel, dropping drivers that no host has");
    let version = only_entry(&root.join("lib/modules"))?;
    let modules = root.join("lib/modules").join(&version);
    for unused in UNUSED_MODULES {
        remove_tree(&modules.join("kernel").join(unused))?;
    }
    run(Command::new("chroot").arg(&root).args(["depmod", &version])).await?;
    let kernel = root.join(format!("boot/vmlinuz-{version}"));
    fs::copy(&kernel, draft.join("vmlinuz")).on("copy", &kernel)?;
    keep_boot_files(&root, &modules, &draft.join("boot"))?;
    for waste in ["boot", "var/cache/apt", "var/lib/apt/lists"] {
        remove_tree(&root.join(waste))?;
        fs::create_dir_all(root.join(waste)).on("create", root.join(waste))?;
    }

    progress.step("packing the image");
    run(Command::new("mkfs.erofs")
        .arg("-zlz4")
        .arg(draft.join("root.erofs"))
        .arg(&root))
    .await?;
    remove_tree(&root)
}

fn keep_boot_files(root: &Path, modules: &Path, boot: &Path) -> Result<(), LabError> {
    let kept = boot.join("modules");
    fs::create_dir_all(&kept).on("create", &kept)?;
    let busybox = root.join("bin/busybox");
    fs::copy(&busybox, boot.join("busybox")).on("copy", &busybox)?;
    let dependencies = modules.join("modules.dep");
    let text = fs::read_to_string(&dependencies).on("read", &dependencies)?;
    let mut order = String::new();
    for path in load_order(&text, BOOT_MODULES).map_err(LabError::Refused)? {
        let file = Path::new(path).file_name().unwrap_or_default();
        fs::copy(modules.join(path), kept.join(file)).on("copy", modules.join(path))?;
        order.push_str(&file.to_string_lossy());
        order.push('\n');
    }
    fs::write(kept.join("order"), order).on("write", kept.join("order"))
}

fn only_entry(directory: &Path) -> Result<String, LabError> {
    let mut entries = fs::read_dir(directory).on("list", directory)?;
    let entry = entries.next().transpose().on("list", directory)?;
    entry
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .ok_or_else(|| LabError::Missing {
            what: format!("a kernel in {}", directory.display()),
            remedy: "the package linux-image-amd64 must be among the image's packages".to_owned(),
        })
}
