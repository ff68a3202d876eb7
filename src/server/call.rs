//! One call of a command: from the server's words to the one place that replies.

use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw;

use super::api::api;
use super::reply::{Reply, ReplyWriter};
use super::string::{OwnedString, Word};

/// A command's function as the server calls it.
pub type EntryPoint =
    unsafe extern "C" fn(*mut raw::RedisModuleCtx, *mut *mut raw::RedisModuleString, c_int) -> c_int;

/// What a key is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read only; works on replicas.
    Read,
    /// To be read and perhaps changed.
    Write,
}

/// Tells the position of each key among all words of a command.
pub type KeyPositions = fn(&[Word<'_>], &mut dyn FnMut(usize, Access));

/// What a command does.
pub trait Handler {
    /// What it answers.
    type Reply: Reply;

    /// What it answers where it changed nothing, and why.
    type Error: Reply;

    /// Runs one call.
    ///
    /// # Errors
    ///
    /// Whatever keeps the command from being done.
    fn run(call: &Call<'_>) -> Result<Self::Reply, Self::Error>;

    /// Finds the keys, for commands flagged `getkeys-api`. May run on any of the server's threads.
    const KEYS: Option<KeyPositions> = None;
}

/// One call of a command.
pub struct Call<'call> {
    ctx: *mut raw::RedisModuleCtx,
    words: &'call [Word<'call>],
}

/// The function to register for `H`: the one way in, and the one exit that replies.
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
    if let Some(keys) = H::KEYS
        // SAFETY: `ctx` is live.
        && unsafe { api!(RedisModule_IsKeysPositionRequest)(ctx) } != 0
    {
        let tell = AssertUnwindSafe(|| {
            // SAFETY: `ctx` is the live context of a request for key positions.
            keys(words, &mut |position, access| unsafe { key_at(ctx, position, access) });
        });
        // A panic must not cross into the server, which it would take down. There should be none, here and below.
        let _ = catch_unwind(tell);
        return raw::REDISMODULE_OK as c_int;
    }
    let call = Call { ctx, words };
    // SAFETY: `ctx` is live, and nothing was replied to its call.
    let to = unsafe { ReplyWriter::new(ctx) };
    let answer = AssertUnwindSafe(|| match &H::run(&call) {
        Ok(reply) => reply.write(&to),
        Err(error) => error.write(&to),
    });
    if catch_unwind(answer).is_err() && !to.has_begun() {
        to.error("ERR internal error in redis-limiter");
    }
    raw::REDISMODULE_OK as c_int
}

/// # Safety
///
/// `ctx` is the live context of a request for key positions.
unsafe fn key_at(ctx: *mut raw::RedisModuleCtx, position: usize, access: Access) {
    // SAFETY: the caller's promise.
    unsafe {
        api!(RedisModule_KeyAtPosWithFlags)(
            ctx,
            c_int::try_from(position).unwrap_or(0),
            c_int::try_from(key_flags(access)).unwrap_or(0),
        );
    }
}

/// The API's flags for a key that is opened so.
pub(super) fn key_flags(access: Access) -> u32 {
    match access {
        Access::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        Access::Write => {
            raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE
        }
    }
}

impl<'call> Call<'call> {
    /// All words, the command's name first.
    #[must_use]
    pub fn words(&self) -> &'call [Word<'call>] {
        self.words
    }

    /// A string of the server's with these bytes.
    #[must_use]
    pub fn string(&self, bytes: &[u8]) -> OwnedString {
        // SAFETY: there is a call, so the module has loaded.
        unsafe { OwnedString::new(bytes) }
    }

    pub(super) fn ctx(&self) -> *mut raw::RedisModuleCtx {
        self.ctx
    }
}
