//! The machine room in software.

pub mod frame;
