//! Whole clusters in one process, on simulated time, network, disks and hosts.
