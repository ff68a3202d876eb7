//! What the black-box tests and the benches share: a server of their own on a clock that they move.
//!
//! ```ignore
//! mod support;
//! use support::Server;
//!
//! let server = Server::start();
//! server.clock.freeze(1_763_902_000_000_000);
//! assert_eq!(server.ints(&["RL.FIXED", "k", "10", "1s"])[0], 1);
//! server.clock.advance(Duration::from_secs(1));
//! ```
//!
//! `RL_TEST_SERVER` names the server's binary, `RL_TEST_MODULE` the module; without them the installed server and the
//! module that cargo built beside the test.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "these tests preload a clock into the server, which needs Linux: `cargo test --lib` runs the others"
);

mod clock;
mod cluster;
mod effects;
mod frozen;
pub mod keyspace;
pub mod lease_model;
mod line;
mod load;
pub mod memory_leases;
pub mod memory_log;
pub mod model;
mod module;
pub mod schedule;
mod server;
mod state;
mod stream;
pub mod subject;
mod traffic;
mod version;

pub use clock::Clock;
pub use cluster::Cluster;
pub use effects::Observed;
pub use frozen::{START, frozen};
pub use line::{Several, send, several, words};
pub use load::{Caller, Load};
pub use server::{Builder, Kind, Server};
pub use state::{State, purge};
pub use stream::{Effect, Stream, effects, parse_commands};
pub use traffic::{Reply, Traffic, comparable};

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// Waits until `condition` holds, for what another process does in its own time; panics after `limit`.
#[track_caller]
pub fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "still not so after {limit:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Cargo's folder for what tests write.
fn tmp_dir() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
