//! How results look: tables, YAML, JSON, names, templates, descriptions and differences.

pub(crate) mod age;
pub(crate) mod conditions;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod fit;
pub(crate) mod format;
pub(crate) mod objects;
pub(crate) mod table;
