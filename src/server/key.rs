//! Keys of the dataset. Each change is made, and sent to replicas and the append-only file as its effect.

use std::cell::Cell;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::os::raw::c_int;
use std::ptr::null_mut;

use redis_module::raw;

use super::api::api;
use super::call::{Access, Call};
use super::native;
use super::string::{OwnedString, Word};

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: there is no such key.
    Empty,
    /// A string.
    String,
    /// A hash.
    Hash,
    /// A sorted set.
    SortedSet,
    /// Any other type, known today or not.
    Other,
}

/// The server did not make a change that it was asked for. What it did not do was not replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotDone;

/// An open key. At most one may be open for each key name at a time: a change through one would invalidate another.
pub struct Key<'call> {
    ctx: *mut raw::RedisModuleCtx,
    name: Word<'call>,
    access: Access,
    /// Null where a key opened for reading does not exist.
    handle: Cell<*mut raw::RedisModuleKey>,
    kind: Cell<Kind>,
    changed: Cell<bool>,
    call: PhantomData<&'call ()>,
}

impl<'call> Key<'call> {
    /// Opens the key called `name`.
    #[must_use]
    pub fn open(call: &Call<'call>, name: Word<'call>, access: Access) -> Self {
        let key = Self {
            ctx: call.ctx(),
            name,
            access,
            handle: Cell::new(null_mut()),
            kind: Cell::new(Kind::Empty),
            changed: Cell::new(false),
            call: PhantomData,
        };
        key.open_handle();
        key
    }

    /// Opens the handle, which is not open.
    fn open_handle(&self) {
        let mode = match self.access {
            Access::Read => raw::REDISMODULE_READ,
            Access::Write => raw::REDISMODULE_READ | raw::REDISMODULE_WRITE,
        };
        // SAFETY: context and name are live for `'call`.
        let handle = unsafe {
            api!(RedisModule_OpenKey)(self.ctx, self.name.as_ptr(), c_int::try_from(mode).unwrap_or(0))
        };
        self.handle.set(handle);
        self.look();
    }

    /// Closes the handle, if it is open.
    fn close_handle(&self) {
        let handle = self.handle.replace(null_mut());
        if !handle.is_null() {
            // SAFETY: the handle was open, and is forgotten.
            unsafe { api!(RedisModule_CloseKey)(handle) }
        }
    }

    /// What the key holds now.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind.get()
    }

    /// Finds out what the key holds.
    pub(super) fn look(&self) {
        let handle = self.handle.get();
        if handle.is_null() {
            self.kind.set(Kind::Empty);
            return;
        }
        // SAFETY: the handle is open.
        let kind = unsafe { api!(RedisModule_KeyType)(handle) };
        self.kind.set(match isize::try_from(kind).unwrap_or(-1) {
            raw::REDISMODULE_KEYTYPE_EMPTY => Kind::Empty,
            raw::REDISMODULE_KEYTYPE_STRING => Kind::String,
            raw::REDISMODULE_KEYTYPE_HASH => Kind::Hash,
            raw::REDISMODULE_KEYTYPE_ZSET => Kind::SortedSet,
            _ => Kind::Other,
        });
    }

    /// How many elements the key holds, bytes if it is a string; none where there is no key.
    #[must_use]
    pub fn length(&self) -> usize {
        let handle = self.handle.get();
        if handle.is_null() {
            return 0;
        }
        // SAFETY: the handle is open.
        unsafe { api!(RedisModule_ValueLength)(handle) }
    }

    /// When the key expires, in milliseconds since the Unix epoch; None if it does not, or is not there.
    #[must_use]
    pub fn expires_at_ms(&self) -> Option<i64> {
        // Asking this of an empty key crashes Redis 8.2.
        if self.kind() == Kind::Empty {
            return None;
        }
        // SAFETY: the handle is open, on a key that exists.
        let at = unsafe { api!(RedisModule_GetAbsExpire)(self.handle.get()) };
        (at >= 0).then_some(at)
    }

    /// Lets the key, if it is there, expire at an instant in milliseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`NotDone`] if the server refuses.
    pub fn expire_at_ms(&self, at: i64) -> Result<(), NotDone> {
        if self.kind() == Kind::Empty {
            return Ok(());
        }
        self.set_expiry(at)?;
        // SAFETY: context and name are live; format and arguments agree.
        unsafe {
            api!(RedisModule_Replicate)(
                self.ctx,
                c"PEXPIREAT".as_ptr(),
                c"sl".as_ptr(),
                self.name.as_ptr(),
                at,
            );
        }
        Ok(())
    }

    /// Sets the expiry of a key that is there, and replicates nothing.
    pub(super) fn set_expiry(&self, at: i64) -> Result<(), NotDone> {
        self.changed.set(true);
        // SAFETY: the handle is open, on a key that exists.
        done(unsafe { api!(RedisModule_SetAbsExpire)(self.handle.get(), at) })
    }

    /// Removes the key and all it holds; a large value is freed in the background.
    ///
    /// # Errors
    ///
    /// [`NotDone`] if the server refuses.
    pub fn unlink(&self) -> Result<(), NotDone> {
        if self.kind() == Kind::Empty {
            return Ok(());
        }
        self.unlink_here()?;
        // SAFETY: context and name are live; format and arguments agree.
        unsafe {
            api!(RedisModule_Replicate)(self.ctx, c"UNLINK".as_ptr(), c"s".as_ptr(), self.name.as_ptr());
        }
        Ok(())
    }

    /// Removes a key that is there, and replicates nothing.
    pub(super) fn unlink_here(&self) -> Result<(), NotDone> {
        // SAFETY: the handle is open.
        done(unsafe { api!(RedisModule_UnlinkKey)(self.handle.get()) })?;
        self.kind.set(Kind::Empty);
        self.changed.set(true);
        Ok(())
    }

    /// What `read` makes of a string's bytes, which are not copied; None if the key holds no string.
    #[must_use]
    pub fn with_string<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        if self.kind() != Kind::String {
            return None;
        }
        let mode = c_int::try_from(raw::REDISMODULE_READ).unwrap_or(0);
        let mut length = 0;
        // SAFETY: the handle is open on a string, and the bytes stay as they are until the next call of the API.
        unsafe {
            let start = api!(RedisModule_StringDMA)(self.handle.get(), &raw mut length, mode);
            if start.is_null() {
                return None;
            }
            Some(read(std::slice::from_raw_parts(start.cast::<u8>(), length)))
        }
    }

    /// Creates a string in a key that is not there, which expires at an instant in milliseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`NotDone`] if the server refuses.
    pub fn set_string(&self, value: &OwnedString, expires_at_ms: i64) -> Result<(), NotDone> {
        if self.kind() != Kind::Empty || !self.is_writable() {
            return Err(NotDone);
        }
        // SAFETY: the handle is open for writing; context and strings are live; format and arguments agree.
        unsafe {
            done(api!(RedisModule_StringSet)(self.handle.get(), value.as_ptr()))?;
            self.look();
            self.set_expiry(expires_at_ms)?;
            api!(RedisModule_Replicate)(
                self.ctx,
                c"SET".as_ptr(),
                c"sscl".as_ptr(),
                self.name.as_ptr(),
                value.as_ptr(),
                c"PXAT".as_ptr(),
                expires_at_ms,
            );
        }
        Ok(())
    }

    pub(super) fn ctx(&self) -> *mut raw::RedisModuleCtx {
        self.ctx
    }

    pub(super) fn name(&self) -> Word<'call> {
        self.name
    }

    /// The handle, open wherever [`kind`](Self::kind) is not empty.
    pub(super) fn handle(&self) -> *mut raw::RedisModuleKey {
        self.handle.get()
    }

    /// Whether there is a handle that changes can be made through.
    pub(super) fn is_writable(&self) -> bool {
        self.access == Access::Write && !self.handle.get().is_null()
    }

    /// Remembers that the key was changed, so that the server is told.
    pub(super) fn mark_changed(&self) {
        self.changed.set(true);
    }

    /// Calls a native command on this key, with the handle closed meanwhile: even one that only reads may delete what has
    /// expired, and move what the handle points to. Replicates nothing.
    pub(super) fn call(&self, command: &CStr, arguments: &[&[u8]]) -> Option<native::CallReply> {
        self.close_handle();
        // SAFETY: context and name are live, and no handle of this key is open.
        let reply = unsafe { native::call(self.ctx, command, self.name, arguments) };
        self.open_handle();
        reply
    }

    /// Replicates a command of this key's name and a list of words.
    pub(super) fn replicate_list(&self, command: &CStr, mut words: Vec<*mut raw::RedisModuleString>) {
        // SAFETY: format and arguments agree; all strings are live during the call.
        unsafe {
            api!(RedisModule_Replicate)(
                self.ctx,
                command.as_ptr(),
                c"sv".as_ptr(),
                self.name.as_ptr(),
                words.as_mut_ptr(),
                words.len(),
            );
        }
    }
}

/// Whether the server did what it was asked.
pub(super) fn done(status: c_int) -> Result<(), NotDone> {
    if status == raw::REDISMODULE_OK as c_int { Ok(()) } else { Err(NotDone) }
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        self.close_handle();
        if self.changed.get() {
            // SAFETY: context and name are live. Only what changed is signalled, so that a denied call breaks no WATCH.
            unsafe {
                api!(RedisModule_SignalModifiedKey)(self.ctx, self.name.as_ptr());
            }
        }
    }
}
