//! The lease process as it is installed: a program of its own, real datagrams, a real socket.

mod member;
mod pressure;
mod process;
mod stories;
mod stress;
