//! The server's own commands, called from within a call.

use std::ffi::CStr;
use std::os::raw::c_char;
use std::ptr::NonNull;

use redis_module::raw;

use super::api::api;
use super::string::Word;

/// The commands that the module calls, or replicates as its effects. It does not load where one is missing: renamed, say.
pub const NEEDED: &[&CStr] = &[
    c"EXISTS",
    c"HDEL",
    c"HRANDFIELD",
    c"HSET",
    c"PEXPIREAT",
    c"SET",
    c"UNLINK",
    c"ZADD",
    c"ZCOUNT",
    c"ZRANGE",
    c"ZREM",
    c"ZREMRANGEBYRANK",
    c"ZREMRANGEBYSCORE",
];

/// A command's reply.
pub struct CallReply(NonNull<raw::RedisModuleCallReply>);

impl CallReply {
    /// Takes over a reply of `RedisModule_Call`; None if it gave none.
    ///
    /// # Safety
    ///
    /// The reply is null, or live and ours to free.
    pub unsafe fn of(reply: *mut raw::RedisModuleCallReply) -> Option<Self> {
        NonNull::new(reply).map(Self)
    }

    fn is(&self, kind: isize) -> bool {
        // SAFETY: the reply is live.
        isize::try_from(unsafe { api!(RedisModule_CallReplyType)(self.0.as_ptr()) }) == Ok(kind)
    }

    /// An integer reply.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        // SAFETY: the reply is live, and an integer where it is asked for one.
        self.is(raw::REDISMODULE_REPLY_INTEGER)
            .then(|| unsafe { api!(RedisModule_CallReplyInteger)(self.0.as_ptr()) })
    }

    /// A string reply.
    #[must_use]
    pub fn string(&self) -> Option<&[u8]> {
        if !self.is(raw::REDISMODULE_REPLY_STRING) {
            return None;
        }
        let mut length = 0;
        // SAFETY: the reply is a live string; its text lives as long as it does.
        unsafe {
            let start = api!(RedisModule_CallReplyStringPtr)(self.0.as_ptr(), &raw mut length);
            (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast::<u8>(), length))
        }
    }

    /// The text of the element of that index of an array reply, where that is a string.
    #[must_use]
    pub fn string_at(&self, index: usize) -> Option<&[u8]> {
        if !self.is(raw::REDISMODULE_REPLY_ARRAY) {
            return None;
        }
        // SAFETY: the reply is a live array; its element, which is not freed by itself, lives as long, and so does its text.
        unsafe {
            let element = api!(RedisModule_CallReplyArrayElement)(self.0.as_ptr(), index);
            let is_string = !element.is_null()
                && isize::try_from(api!(RedisModule_CallReplyType)(element))
                    == Ok(raw::REDISMODULE_REPLY_STRING);
            if !is_string {
                return None;
            }
            let mut length = 0;
            let start = api!(RedisModule_CallReplyStringPtr)(element, &raw mut length);
            (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast::<u8>(), length))
        }
    }

    /// Whether the element of that index of an array reply is an array itself.
    #[must_use]
    pub fn has_array_at(&self, index: usize) -> bool {
        // SAFETY: the reply is live, and so is its element, which is not freed by itself.
        unsafe {
            let element = api!(RedisModule_CallReplyArrayElement)(self.0.as_ptr(), index);
            !element.is_null()
                && isize::try_from(api!(RedisModule_CallReplyType)(element))
                    == Ok(raw::REDISMODULE_REPLY_ARRAY)
        }
    }
}

impl Drop for CallReply {
    fn drop(&mut self) {
        // SAFETY: the reply is ours to free.
        unsafe { api!(RedisModule_FreeCallReply)(self.0.as_ptr()) }
    }
}

/// Calls `command` with a key and at most two further arguments; None where the server refuses to.
///
/// # Safety
///
/// The context and the key's name are live. If the command changes the key, no handle of it is open.
pub unsafe fn call(
    ctx: *mut raw::RedisModuleCtx,
    command: &CStr,
    key: Word<'_>,
    arguments: &[&[u8]],
) -> Option<CallReply> {
    let text = |argument: &&[u8]| (argument.as_ptr().cast::<c_char>(), argument.len());
    // SAFETY: as the caller promises; each format agrees with its arguments.
    unsafe {
        let call = api!(RedisModule_Call);
        CallReply::of(match arguments {
            [] => call(ctx, command.as_ptr(), c"s".as_ptr(), key.as_ptr()),
            [first] => {
                let (start, length) = text(first);
                call(ctx, command.as_ptr(), c"sb".as_ptr(), key.as_ptr(), start, length)
            }
            [first, second, ..] => {
                let ((start, length), (second, second_length)) = (text(first), text(second));
                call(
                    ctx,
                    command.as_ptr(),
                    c"sbb".as_ptr(),
                    key.as_ptr(),
                    start,
                    length,
                    second,
                    second_length,
                )
            }
        })
    }
}

/// Whether the server has a command of that name.
///
/// # Safety
///
/// The context is live.
pub unsafe fn has_command(ctx: *mut raw::RedisModuleCtx, name: &CStr) -> bool {
    // SAFETY: context and texts are live, and the format fits.
    let reply = unsafe {
        CallReply::of(api!(RedisModule_Call)(
            ctx,
            c"COMMAND".as_ptr(),
            c"cc".as_ptr(),
            c"INFO".as_ptr(),
            name.as_ptr(),
        ))
    };
    reply.is_some_and(|reply| reply.has_array_at(0))
}
