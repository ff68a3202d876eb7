//! Whose a sorted set is, where it is not the limiter's that a call names.

use super::error::StateError;
use super::{lease, log};
use crate::server::{Key, Member};

/// Why `key`, a sorted set, holds no log.
#[cold]
pub fn no_log(key: &Key<'_>) -> StateError {
    if last_is(key, lease::is_lease) { StateError::Leases } else { StateError::OtherData }
}

/// Why `key`, a sorted set, holds no leases.
#[cold]
pub fn no_leases(key: &Key<'_>) -> StateError {
    if last_is(key, log::is_entry) { StateError::Log } else { StateError::OtherData }
}

fn last_is(key: &Key<'_>, test: fn(&Member) -> bool) -> bool {
    key.last_member().is_some_and(|last| test(&last))
}
