//! Replies to a call, by the API's reply functions.

use std::cell::Cell;
use std::ffi::CString;
use std::os::raw::c_long;

use redis_module::raw;

use super::api::api;

/// What can answer a call.
pub trait Reply {
    /// Writes the whole of it: one value.
    fn write(&self, to: &ReplyWriter);
}

/// Takes one call's reply, part by part. Only the exit of a command has one.
pub struct ReplyWriter {
    ctx: *mut raw::RedisModuleCtx,
    has_begun: Cell<bool>,
}

impl ReplyWriter {
    /// # Safety
    ///
    /// `ctx` is live as long as this is, and nothing was replied to its call.
    pub(super) unsafe fn new(ctx: *mut raw::RedisModuleCtx) -> Self {
        Self { ctx, has_begun: Cell::new(false) }
    }

    /// Whether a reply, or a part of one, was written.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// Begins an array of so many values, which are to follow.
    #[inline]
    pub fn array(&self, length: usize) {
        self.has_begun.set(true);
        // SAFETY: the context is live.
        unsafe {
            api!(RedisModule_ReplyWithArray)(self.ctx, c_long::try_from(length).unwrap_or(c_long::MAX));
        }
    }

    /// Writes an integer.
    #[inline]
    pub fn integer(&self, value: i64) {
        // SAFETY: the context is live.
        unsafe {
            api!(RedisModule_ReplyWithLongLong)(self.ctx, value);
        }
    }

    /// Writes an array of integers.
    #[inline]
    pub fn integers(&self, values: &[i64]) {
        self.array(values.len());
        for value in values {
            self.integer(*value);
        }
    }

    /// Writes an error. Its text starts with the error's code and is printable ASCII.
    pub fn error(&self, text: &str) {
        self.has_begun.set(true);
        // Text with a NUL byte does not occur; it would not make a C string.
        let text = CString::new(text).unwrap_or_default();
        // SAFETY: the context is live; the server copies the text.
        unsafe {
            api!(RedisModule_ReplyWithError)(self.ctx, text.as_ptr());
        }
    }

    /// Writes the server's own error for a wrong number of arguments.
    pub fn wrong_arity(&self) {
        self.has_begun.set(true);
        // SAFETY: the context is live.
        unsafe {
            api!(RedisModule_WrongArity)(self.ctx);
        }
    }
}

impl Reply for i64 {
    fn write(&self, to: &ReplyWriter) {
        to.integer(*self);
    }
}

impl<const LENGTH: usize> Reply for [i64; LENGTH] {
    fn write(&self, to: &ReplyWriter) {
        to.integers(self);
    }
}
