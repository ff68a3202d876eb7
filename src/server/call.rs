//! One call of a command: its words, its clock and its reply.

use std::cell::Cell;
use std::ffi::CString;
use std::os::raw::{c_int, c_long};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use redis_module::raw;

use super::api::api;
use super::register::{Load, Unload};
use super::reply::Pieces;
use super::string::Word;

/// A command's function as the server calls it.
pub type EntryPoint =
    unsafe extern "C" fn(*mut raw::RedisModuleCtx, *mut *mut raw::RedisModuleString, c_int) -> c_int;

pub(super) static PIECES: OfServer<Pieces> = OfServer::new(Pieces::new());

/// Tells the position of each key among all words of a command.
pub type KeyPositions = fn(&[Word<'_>], &mut dyn FnMut(usize));

/// What a command does.
pub trait Handler {
    /// Answers one call.
    fn run(call: &Call<'_>);

    /// Finds the keys, for commands flagged `getkeys-api`.
    const KEYS: Option<KeyPositions> = None;

    /// What those keys are opened for.
    const KEYS_ARE_WRITTEN: bool = true;
}

/// One call of a command.
pub struct Call<'call> {
    ctx: *mut raw::RedisModuleCtx,
    words: &'call [Word<'call>],
    /// Whether a reply, or a part of one, was given.
    replied: Cell<bool>,
}

/// The function to register for `H`.
///
/// # Safety
///
/// The server calls it, with the context and the `argc` strings at `argv` of a call.
pub unsafe extern "C" fn entry_point<H: Handler>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    let words = match usize::try_from(argc) {
        // SAFETY: the server passes `argc` non-null strings, which live until this function returns; `Word` is
        // one such pointer.
        Ok(count) if !argv.is_null() => unsafe { std::slice::from_raw_parts(argv.cast::<Word<'_>>(), count) },
        _ => &[],
    };
    let call = Call { ctx, words, replied: Cell::new(false) };
    let only_keys = H::KEYS.filter(|_| call.asks_for_keys());
    // A panic must not cross into the server, which it would take down. There should be none.
    let outcome = catch_unwind(AssertUnwindSafe(|| match only_keys {
        Some(keys) => keys(words, &mut |position| call.key_at(position, H::KEYS_ARE_WRITTEN)),
        None => H::run(&call),
    }));
    if outcome.is_err() && only_keys.is_none() && !call.replied.get() {
        call.reply_error("ERR internal error in redis-limiter");
    }
    raw::REDISMODULE_OK as c_int
}

/// A time in which the server lets the module run, and nothing else: a call, the loading, the unloading. None of them can
/// be sent to another thread.
pub trait Turn {}

impl Turn for Call<'_> {}
impl Turn for Load {}
impl Turn for Unload {}

/// Something of the module's that lives as long as it is loaded.
pub struct OfServer<T>(T);

// SAFETY: what is within is reached in a `Turn` alone. The server gives one at a time, whichever thread it is on, and what
// was written in one, the next sees.
unsafe impl<T> Sync for OfServer<T> {}

impl<T> OfServer<T> {
    /// Something for all turns.
    pub const fn new(of_server: T) -> Self {
        Self(of_server)
    }

    /// What is within, for the time of a turn.
    #[inline(always)]
    pub fn get<'turn>(&'turn self, _: &'turn impl Turn) -> &'turn T {
        &self.0
    }
}

impl<'call> Call<'call> {
    /// The words after the command's name.
    #[must_use]
    pub fn arguments(&self) -> &'call [Word<'call>] {
        self.words.get(1..).unwrap_or_default()
    }

    pub(super) fn ctx(&self) -> *mut raw::RedisModuleCtx {
        self.ctx
    }

    /// The server's wall clock, in microseconds since the Unix epoch: where the server tells it, the time at
    /// which this command, its script or its transaction began.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        // SAFETY: the pointer is written once, at load; the function has no arguments.
        match unsafe { raw::RedisModule_CachedMicroseconds } {
            // SAFETY: as above.
            Some(cached_microseconds) => unsafe { cached_microseconds() },
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
        }
    }

    /// Replies an array of integers.
    #[inline(always)]
    pub fn reply_integers(&self, integers: &[i64]) {
        self.replied.set(true);
        self.reply_integers_in(None, integers);
    }

    /// Replies an array of integers and, after them, arrays of integers.
    #[inline(always)]
    pub fn reply_integers_and_arrays<const LENGTH: usize>(
        &self,
        integers: &[i64],
        arrays: impl ExactSizeIterator<Item = [i64; LENGTH]>,
    ) {
        self.replied.set(true);
        // What stands before the first array goes with it.
        let mut before = Some((arrays.len().saturating_add(integers.len()), integers));
        for array in arrays {
            self.reply_integers_in(before.take(), &array);
        }
    }

    /// Replies an array of integers; before it, if it is the first in another array, that one's length and the integers
    /// that stand before it there.
    #[inline(always)]
    fn reply_integers_in(&self, before: Option<(usize, &[i64])>, integers: &[i64]) {
        if !PIECES.get(self).reply(self.ctx, before, integers) {
            self.reply_one_by_one(before, integers);
        }
    }

    /// As [`reply_integers_in`](Self::reply_integers_in), not in one piece.
    #[cold]
    #[inline(never)]
    fn reply_one_by_one(&self, before: Option<(usize, &[i64])>, integers: &[i64]) {
        for (length, integers) in before.into_iter().chain([(integers.len(), integers)]) {
            // SAFETY: `ctx` is the live context of this call.
            unsafe {
                api!(RedisModule_ReplyWithArray)(self.ctx, c_long::try_from(length).unwrap_or(c_long::MAX));
                for integer in integers {
                    api!(RedisModule_ReplyWithLongLong)(self.ctx, *integer);
                }
            }
        }
    }

    /// Replies an error. Its text starts with the error's code and is printable ASCII.
    pub fn reply_error(&self, message: &str) {
        self.replied.set(true);
        // Text with a NUL byte does not occur; it would not make a C string.
        let message = CString::new(message).unwrap_or_default();
        // SAFETY: `ctx` is the live context of this call; the server copies the text.
        unsafe {
            api!(RedisModule_ReplyWithError)(self.ctx, message.as_ptr());
        }
    }

    /// Replies the server's own error for a wrong number of arguments.
    pub fn reply_wrong_arity(&self) {
        self.replied.set(true);
        // SAFETY: `ctx` is the live context of this call.
        unsafe {
            api!(RedisModule_WrongArity)(self.ctx);
        }
    }

    /// Whether the server only wants to know where the keys are.
    fn asks_for_keys(&self) -> bool {
        // SAFETY: `ctx` is the live context of this call.
        unsafe { api!(RedisModule_IsKeysPositionRequest)(self.ctx) != 0 }
    }

    fn key_at(&self, position: usize, written: bool) {
        let flags = if written {
            raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE
        } else {
            raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS
        };
        // SAFETY: `ctx` is the live context of a request for key positions.
        unsafe {
            api!(RedisModule_KeyAtPosWithFlags)(
                self.ctx,
                c_int::try_from(position).unwrap_or(0),
                c_int::try_from(flags).unwrap_or(0),
            );
        }
    }
}
