//! The meaning of server-side apply: stories, and laws that hold for any story.

mod apply;
mod cluster;
mod properties;
mod update;
