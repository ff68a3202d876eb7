//! The server's strings: borrowed from a command's arguments, or our own.

use std::marker::PhantomData;
use std::os::raw::c_char;
use std::ptr::NonNull;

use redis_module::raw;

use super::api::api;

/// A command's argument; lives as long as the call.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Word<'call> {
    string: NonNull<raw::RedisModuleString>,
    call: PhantomData<&'call ()>,
}

impl<'call> Word<'call> {
    /// The argument's bytes: any bytes, not only text.
    #[must_use]
    pub fn bytes(self) -> &'call [u8] {
        // SAFETY: the server keeps a call's arguments, unchanged, until the call returns.
        unsafe { bytes(self.string.as_ptr()) }
    }

    pub(super) fn as_ptr(self) -> *mut raw::RedisModuleString {
        self.string.as_ptr()
    }
}

impl AsRef<[u8]> for Word<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// A string of our own. [`Call::string`](super::call::Call::string) makes one.
#[derive(Debug)]
pub struct OwnedString(NonNull<raw::RedisModuleString>);

impl OwnedString {
    /// A string of these bytes.
    ///
    /// # Safety
    ///
    /// The module has loaded.
    pub(super) unsafe fn new(bytes: &[u8]) -> Self {
        // SAFETY: the pointer and length are those of a slice; without a context the string is ours to free.
        // The server answers a string or ends itself for want of memory.
        unsafe {
            let string = api!(RedisModule_CreateString)(
                std::ptr::null_mut(),
                bytes.as_ptr().cast::<c_char>(),
                bytes.len(),
            );
            Self(NonNull::new_unchecked(string))
        }
    }

    /// Takes over a string that the server has given away; None if it gave none.
    ///
    /// # Safety
    ///
    /// The string is null, or live and ours to free.
    pub(super) unsafe fn from_server(string: *mut raw::RedisModuleString) -> Option<Self> {
        NonNull::new(string).map(Self)
    }

    /// The string's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the string lives as long as `self`, and nobody changes it.
        unsafe { bytes(self.0.as_ptr()) }
    }

    pub(super) fn as_ptr(&self) -> *mut raw::RedisModuleString {
        self.0.as_ptr()
    }
}

impl Drop for OwnedString {
    fn drop(&mut self) {
        // SAFETY: the string is ours, and was created without a context.
        unsafe { api!(RedisModule_FreeString)(std::ptr::null_mut(), self.0.as_ptr()) }
    }
}

/// The bytes of any of the server's strings.
///
/// # Safety
///
/// `string` is live and unchanged for `'a`.
unsafe fn bytes<'a>(string: *const raw::RedisModuleString) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: the server answers a pointer, never null, to `length` bytes that live as long as the string.
    unsafe {
        let start = api!(RedisModule_StringPtrLen)(string, &mut length);
        std::slice::from_raw_parts(start.cast::<u8>(), length)
    }
}
