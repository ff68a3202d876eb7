//! Whose a sorted set is, where it is not the limiter's that a call names.

use super::error::StateError;
use super::{lease, log};
use crate::server::Key;

/// Why `key`, a sorted set, cannot be used: what its last member is.
#[cold]
pub fn other_data(key: &Key<'_>) -> StateError {
    match key.last_member() {
        Some(last) if lease::is_lease(&last) => StateError::Leases,
        Some(last) if log::is_entry(&last) => StateError::Log,
        _ => StateError::OtherData,
    }
}
