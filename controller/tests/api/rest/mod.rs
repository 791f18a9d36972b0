//! The Kubernetes face as HTTP clients see it.

mod client;
mod discovery;
mod hostile;
mod kubectl;
mod python;
mod reading;
mod rights;
mod watching;
mod writing;
