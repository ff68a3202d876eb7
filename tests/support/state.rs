//! All that a dataset holds, so that two can be compared.

use std::collections::BTreeMap;

use super::Server;

/// Every key's value and every key's expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// DEBUG DIGEST, which does not see expiry times.
    pub digest: String,
    /// PEXPIRETIME of every key.
    pub expiries: BTreeMap<Vec<u8>, i64>,
}

impl State {
    /// What `server`, whose clock is frozen, holds. What has expired may still lie there: see [`purge`].
    #[track_caller]
    pub fn of(server: &Server) -> Self {
        Self { digest: server.digest(), expiries: server.expiries() }
    }
}

/// Removes those of `keys` that have expired, as any look-up on a primary does; a dataset's digest counts them until
/// then, and each server removes them in its own time.
#[track_caller]
pub fn purge(server: &Server, keys: &[String]) {
    let words: Vec<&str> = std::iter::once("EXISTS").chain(keys.iter().map(String::as_str)).collect();
    server.call(&words).unwrap();
}
