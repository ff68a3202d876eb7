//! Failover, Sentinel and clusters: groups of servers that wait for real timeouts.

mod cluster;
mod failover;
