//! Hashes: reading and changing fields.

use std::ffi::CStr;
use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;

use redis_module::raw;

use super::api::api;
use super::key::{Key, Kind, NotDone};
use super::string::OwnedString;

/// Counts fields that were created, too.
const COUNT_ALL: c_int = raw::REDISMODULE_HASH_COUNT_ALL as c_int;

/// The most fields that one call of the API sets.
const SET_AT_ONCE: usize = 4;

/// Formats of effects that name a key and up to [`SET_AT_ONCE`] fields with their values.
const FORMATS: [&CStr; SET_AT_ONCE + 1] = [c"s", c"sss", c"sssss", c"sssssss", c"sssssssss"];

/// Fields and their values, one after the other; null where there are no more.
type Words = [*mut raw::RedisModuleString; 2 * SET_AT_ONCE];

/// The first fields and their values.
fn words(fields: &[(&OwnedString, OwnedString)]) -> Words {
    let mut words = [null_mut(); 2 * SET_AT_ONCE];
    for (place, (field, value)) in words.chunks_exact_mut(2).zip(fields) {
        place.copy_from_slice(&[field.as_ptr(), value.as_ptr()]);
    }
    words
}

impl Key<'_> {
    /// The value of a field of a hash; None where there is no such field or hash.
    #[must_use]
    #[inline(always)]
    pub fn field(&self, field: &OwnedString) -> Option<OwnedString> {
        if self.kind() != Kind::Hash {
            return None;
        }
        let mut value: *mut raw::RedisModuleString = null_mut();
        // SAFETY: the handle is open; the list of fields ends in null; a value that comes back is ours.
        unsafe {
            api!(RedisModule_HashGet)(
                self.handle(),
                raw::REDISMODULE_HASH_NONE as c_int,
                field.as_ptr(),
                &raw mut value,
                null_mut::<c_void>(),
            );
            let value = OwnedString::from_server(value);
            if value.is_none() {
                // A field that has expired goes when it is asked for, and with the last of them the key.
                self.look();
            }
            value
        }
    }

    /// Whether a field of a hash, whichever, has a name that passes `test`. None if there is none, or no hash.
    ///
    /// Reads no value: those of other people's hashes may be of any length.
    ///
    /// # Errors
    ///
    /// [`NotDone`] if the server does not tell.
    pub fn any_field_passes(&self, test: impl Fn(&[u8]) -> bool) -> Result<Option<bool>, NotDone> {
        if self.kind() != Kind::Hash {
            return Ok(None);
        }
        let reply = self.call(c"HRANDFIELD", &[]).ok_or(NotDone)?;
        Ok(reply.string().map(test))
    }

    /// Sets fields of a hash, which is created if there is none; replicates them as one effect.
    ///
    /// # Errors
    ///
    /// [`NotDone`] if the server refuses; it looks at the key before it sets any of them.
    pub fn set_fields(&self, fields: &[(&OwnedString, OwnedString)]) -> Result<(), NotDone> {
        if !self.is_writable() {
            return Err(NotDone);
        }
        if fields.is_empty() {
            return Ok(());
        }
        self.mark_changed();
        match FORMATS.get(fields.len()) {
            Some(format) => {
                let words = words(fields);
                self.set_few(words, fields.len())?;
                let [a, b, c, d, e, f, g, h] = words;
                // SAFETY: the strings are live; the format asks for as many words as there are fields and values.
                unsafe {
                    let (ctx, name) = (self.ctx(), self.name().as_ptr());
                    let replicate = api!(RedisModule_Replicate);
                    replicate(ctx, c"HSET".as_ptr(), format.as_ptr(), name, a, b, c, d, e, f, g, h);
                }
            }
            None => {
                for fields in fields.chunks(SET_AT_ONCE) {
                    self.set_few(words(fields), fields.len())?;
                }
                let words = fields.iter().flat_map(|(field, value)| [field.as_ptr(), value.as_ptr()]);
                self.replicate_list(c"HSET", words.collect());
            }
        }
        if self.kind() != Kind::Hash {
            self.look();
        }
        Ok(())
    }

    /// Sets so many fields to their values, which `words` holds, and replicates nothing.
    fn set_few(&self, words: Words, count: usize) -> Result<(), NotDone> {
        let [a, b, c, d, e, f, g, h] = words;
        // SAFETY: the handle is open for writing; the list of fields and values ends in null, at the latest after the last;
        // the server keeps or copies what it is given.
        let set = unsafe {
            let end = null_mut::<c_void>();
            api!(RedisModule_HashSet)(self.handle(), COUNT_ALL, a, b, c, d, e, f, g, h, end)
        };
        if usize::try_from(set) == Ok(count) { Ok(()) } else { Err(NotDone) }
    }

    /// Removes fields of a hash; it goes with its last. What is not there is neither removed nor replicated.
    pub fn delete_fields(&self, fields: &[&OwnedString]) {
        let mut deleted = Vec::new();
        for field in fields {
            if self.kind() != Kind::Hash || !self.is_writable() {
                break;
            }
            // SAFETY: the handle is open for writing; the list ends in null; the marker is the API's own.
            let count = unsafe {
                api!(RedisModule_HashSet)(
                    self.handle(),
                    COUNT_ALL,
                    field.as_ptr(),
                    raw::REDISMODULE_HASH_DELETE,
                    null_mut::<c_void>(),
                )
            };
            if count > 0 {
                deleted.push(field.as_ptr());
                self.look();
            }
        }
        if !deleted.is_empty() {
            self.replicate_list(c"HDEL", deleted);
            self.mark_changed();
        }
    }
}
