//! Leases on a key, whatever holds them.

use super::log::OtherData;
use super::time::Time;

/// The longest name of a holder, in bytes.
pub const MAX_ID: usize = 128;

/// Where the leases on a key are kept, in order of their ends, and which of them is the caller's.
pub trait Leases {
    /// When the caller's lease ends or has ended; None if it has none.
    ///
    /// # Errors
    ///
    /// [`OtherData`] if what is there is not a lease. Likewise below.
    fn own(&self) -> Result<Option<Time>, OtherData>;

    /// Visits the ends after an instant (without one: all), first to last, until `visit` answers false or none is left.
    ///
    /// # Errors
    ///
    /// [`OtherData`] where it meets what is not a lease, after the leases before it were visited.
    fn walk(&self, after: Option<Time>, visit: impl FnMut(Time) -> bool) -> Result<(), OtherData>;

    /// The last end of all.
    ///
    /// # Errors
    ///
    /// [`OtherData`]
    fn last(&self) -> Result<Option<Time>, OtherData>;

    /// The end before that; it may be the same.
    ///
    /// # Errors
    ///
    /// [`OtherData`]
    fn last_but_one(&self) -> Result<Option<Time>, OtherData>;

    /// How many end after an instant.
    ///
    /// # Errors
    ///
    /// [`OtherData`]
    fn count_after(&self, at: Time) -> Result<usize, OtherData>;

    /// The end that so many come before.
    ///
    /// # Errors
    ///
    /// [`OtherData`], also if there is none.
    fn at_rank(&self, rank: usize) -> Result<Time, OtherData>;

    /// How many leases there are, ended or not.
    fn length(&self) -> usize;
}

/// What a call changes of the leases on a key, in the order in which it is to be done.
///
/// Adding comes before removing: a key that loses its last lease is gone, and its expiry with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseEdit {
    /// Whether all leases go, before one is taken.
    pub clear: bool,
    /// When the caller's lease ends from now on.
    pub end: Time,
    /// How many of the leases that have ended go, at most.
    pub dropped: usize,
}
