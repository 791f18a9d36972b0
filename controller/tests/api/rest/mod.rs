//! The Kubernetes face as HTTP clients see it.

mod client;
mod discovery;
mod health;
mod hostile;
mod kube_rs;
mod kubectl;
mod python;
mod reading;
mod rights;
mod tokens;
mod watching;
mod writing;
