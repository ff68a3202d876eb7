//! Rate limiting inside Redis and Valkey.
//!
//! - [`algorithms`] decides: how much is used, what fits, how long to wait. It knows no server.

pub mod algorithms;
