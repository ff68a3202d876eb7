//! What the module keeps from call to call.

use super::call::Call;
use super::load::Unload;

/// Something of the module's that only a call can reach, so that one thread has it at a time.
pub struct OfServer<T>(T);

// SAFETY: what is within is reached by those below alone, of which the server lets one run at a time, whichever thread it
// is on; what was written in one, the next sees. None of them can be sent to another thread.
unsafe impl<T> Sync for OfServer<T> {}

impl<T> OfServer<T> {
    /// Something that calls share.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// What is within, for the time of a call.
    #[inline]
    pub fn get<'call>(&'call self, _: &'call Call<'_>) -> &'call T {
        &self.0
    }

    /// What is within, once no call comes any more.
    pub fn at_unload<'unload>(&'unload self, _: &'unload Unload) -> &'unload T {
        &self.0
    }
}
