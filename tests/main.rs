//! All tests but src/'s own, in one program: 27 of them took longer to build, and ran one after the other.
//!
//! A module a concern: `cargo test --test suite expiry::` runs one. Most start a server of their own; those of `models`
//! need none, and those of `ha` wait for a server's real timeouts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "a test fails by panicking, and its name says what it shows"
)]

mod ha;
mod models;
mod support;

mod all_or_nothing;
mod blocks;
mod bounded;
mod cl_throttle;
mod clock;
mod command_docs;
mod concurrency;
mod cost_modes;
mod denied;
mod docs;
mod errors;
mod expiry;
mod foreign_data;
mod harness;
mod io_threads;
mod key_routing;
mod leases;
mod limiters;
mod loading;
mod operations_page;
mod overrides;
mod packaging;
mod persistence;
mod planted;
mod pressure;
mod random_commands;
mod recipes;
mod redis_cell_clients;
mod refunds;
mod replication;
mod replies;
