//! The machine room in software: whole clusters of QEMU machines with the real kernel, real BMC and PDU protocols, cables
//! and switches.

mod agent;
mod bmc;
pub mod cache;
pub mod cluster;
mod control;
pub mod counter;
pub mod description;
mod error;
mod exec;
mod faults;
pub mod frame;
pub mod hardware;
mod host;
pub mod image;
mod initrd;
mod machine;
mod memory;
mod modules;
mod network;
mod passes;
pub mod pdu;
pub mod power;
mod programs;
mod progress;
mod qmp;
mod records;
pub mod request;
mod room;
mod rooms;
mod supervisor;
pub mod template;
mod timeline;

pub use agent::Output;
pub use bmc::{PASSWORD, USER};
pub use error::{LabError, explain};
pub use host::Host;
pub use passes::Passes;
pub use pdu::COMMUNITY;
pub use programs::{check_prerequisites, check_prerequisites_of_stories};
pub use progress::Progress;
pub use room::{PROGRAM_VARIABLE, Room};
pub use rooms::{ROOMS_VARIABLE, Rooms};
pub use supervisor::supervise;
pub use timeline::Entry;

/// Image, accelerator and template, each from the cache or made now.
pub async fn prepare(
    cache: &cache::Cache,
    memory_mib: u32,
    data_disks_mib: &[u32],
    agent: &std::path::Path,
    progress: &Progress,
) -> Result<template::Template, LabError> {
    check_prerequisites()?;
    let image = image::Image::obtain(cache, progress).await?;
    let accelerator = template::choose_accelerator(cache, &image, agent, progress).await?;
    let hardware = hardware::Hardware {
        accelerator,
        memory_mib,
        data_disks_mib: data_disks_mib.to_vec(),
    };
    template::Template::obtain(cache, image, hardware, agent, progress).await
}
