//! The server's wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use redis_module::raw;

use super::call::Call;

/// The time of a call, in microseconds since the Unix epoch.
///
/// Where the server tells it (since Redis 7.2), this is when the command, its script or its transaction began.
#[must_use]
pub fn now_us(_: &Call<'_>) -> i64 {
    // SAFETY: the pointer is written once, at load; the function has no arguments.
    match unsafe { raw::RedisModule_CachedMicroseconds } {
        // SAFETY: as above.
        Some(cached_microseconds) => unsafe { cached_microseconds() },
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
    }
}
