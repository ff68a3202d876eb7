//! A server on a frozen clock, which passes when the test says so.

use std::time::Duration;

use redis::Value;

use super::Server;

/// Where frozen clocks start: 2025-11-23 12:47 UTC, in microseconds. A full minute, so that aligned windows of
/// up to a minute begin here.
pub const START: i64 = 1_763_902_020_000_000;

/// A server with the module, whose clock stands at [`START`].
#[track_caller]
pub fn frozen() -> Server {
    let server = Server::start();
    server.clock.freeze(START);
    server
}

impl Server {
    /// Lets `us` microseconds pass.
    pub fn pass_us(&self, us: u64) {
        self.clock.advance(Duration::from_micros(us));
    }

    /// Lets `ms` milliseconds pass.
    pub fn pass_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// The integer that answers a call.
    #[track_caller]
    pub fn ask_int(&self, line: &str) -> i64 {
        match self.ask_value(line) {
            Value::Int(int) => int,
            other => panic!("{line}: not an integer: {other:?}"),
        }
    }
}
