//! Changes on trial: kept, taken back, and cut off anywhere in the middle.

mod crashes;
mod firewall;
mod host;
mod stories;
