//! When a key with limiters expires.

use crate::algorithms::Time;
use crate::server::{Key, NotDone};

/// The least time to spare, in milliseconds.
const SPARE_MS: i64 = 1000;

/// Lets `key` live until its limiters are as good as unused.
///
/// An expiry that will do is left alone, and a new one has some time to spare, so that most calls need not touch it.
/// Where there is none and the key `is_shared` with limiters that the call does not know, somebody removed it: it is left
/// alone, too, since this call's limiters must not end the others.
///
/// # Errors
///
/// [`NotDone`] if the server does not set it.
#[inline(always)]
pub fn expire(
    key: &Key<'_>,
    unused_after_ms: i64,
    now: Time,
    is_shared: impl FnOnce() -> bool,
) -> Result<(), NotDone> {
    let needed = now.floor_ms().saturating_add(unused_after_ms);
    let will_do = match key.expires_at_ms() {
        Some(at) => at >= needed,
        None => is_shared(),
    };
    if will_do {
        return Ok(());
    }
    // Does nothing where no key is left.
    key.expire_at_ms(needed.saturating_add(unused_after_ms / 8).saturating_add(SPARE_MS))
}
