//! Keys of the dataset. Each change is made, and sent to replicas and the append-only file as its effect.

use std::marker::PhantomData;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr::{NonNull, null_mut};

use redis_module::raw;
use smallvec::SmallVec;

use super::api::api;
use super::call::Call;
use super::string::{OwnedString, Word, bytes};

/// What a key is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To be read only; works on replicas.
    Read,
    /// To be read and perhaps changed.
    Write,
}

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
    /// Any other type.
    Other,
}

/// A member of a sorted set, with its score.
#[derive(Debug)]
pub struct Member {
    /// The member's text.
    pub text: OwnedString,
    /// Its score.
    pub score: f64,
}

/// An open key. At most one may be open for each key name at a time: a change through one would
/// invalidate another.
pub struct Key<'call> {
    ctx: *mut raw::RedisModuleCtx,
    name: Word<'call>,
    /// Null where a key opened for reading does not exist.
    handle: *mut raw::RedisModuleKey,
    kind: Kind,
    changed: bool,
    call: PhantomData<&'call ()>,
}

impl<'call> Key<'call> {
    /// Opens the key called `name`.
    #[must_use]
    pub fn open(call: &Call<'call>, name: Word<'call>, mode: Mode) -> Self {
        let mode = match mode {
            Mode::Read => raw::REDISMODULE_READ,
            Mode::Write => raw::REDISMODULE_READ | raw::REDISMODULE_WRITE,
        };
        // SAFETY: context and name are live for `'call`.
        let handle = unsafe {
            api!(RedisModule_OpenKey)(call.ctx(), name.as_ptr(), c_int::try_from(mode).unwrap_or(0))
        };
        let mut key =
            Self { ctx: call.ctx(), name, handle, kind: Kind::Empty, changed: false, call: PhantomData };
        if !handle.is_null() {
            key.look();
        }
        key
    }

    /// What the key holds now.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Finds out what the key holds. Its handle is open.
    #[inline]
    fn look(&mut self) {
        // SAFETY: the handle is open.
        let kind = unsafe { api!(RedisModule_KeyType)(self.handle) };
        self.kind = match isize::try_from(kind).unwrap_or(-1) {
            raw::REDISMODULE_KEYTYPE_EMPTY => Kind::Empty,
            raw::REDISMODULE_KEYTYPE_STRING => Kind::String,
            raw::REDISMODULE_KEYTYPE_HASH => Kind::Hash,
            raw::REDISMODULE_KEYTYPE_ZSET => Kind::SortedSet,
            _ => Kind::Other,
        };
    }

    /// When the key expires, in milliseconds since the Unix epoch; None if it does not, or is not there.
    #[must_use]
    pub fn expires_at_ms(&self) -> Option<i64> {
        // Asking this of an empty key crashes Redis 8.2.
        if self.kind() == Kind::Empty {
            return None;
        }
        // SAFETY: the handle is open, on a key that exists.
        let at = unsafe { api!(RedisModule_GetAbsExpire)(self.handle) };
        (at >= 0).then_some(at)
    }

    /// Lets the key, if it is there, expire at an instant in milliseconds since the Unix epoch.
    pub fn expire_at_ms(&mut self, at: i64) {
        if self.kind() == Kind::Empty {
            return;
        }
        // SAFETY: the handle is open, on a key that exists.
        unsafe {
            if !is_ok(api!(RedisModule_SetAbsExpire)(self.handle, at)) {
                return;
            }
            api!(RedisModule_Replicate)(
                self.ctx,
                c"PEXPIREAT".as_ptr(),
                c"sl".as_ptr(),
                self.name.as_ptr(),
                at,
            );
        }
        self.changed = true;
    }

    /// Removes the key and all it holds; a large value is freed in the background.
    pub fn unlink(&mut self) {
        if self.handle.is_null() {
            return;
        }
        // SAFETY: the handle is open; the server copies what it replicates.
        unsafe {
            if !is_ok(api!(RedisModule_UnlinkKey)(self.handle)) {
                return;
            }
            api!(RedisModule_Replicate)(self.ctx, c"UNLINK".as_ptr(), c"s".as_ptr(), self.name.as_ptr());
        }
        self.kind = Kind::Empty;
        self.changed = true;
    }

    /// The value of a string.
    #[must_use]
    pub fn string(&self) -> Option<Vec<u8>> {
        // SAFETY: the context and the name are live. GET writes nothing; the reply is freed once copied.
        unsafe {
            let reply = api!(RedisModule_Call)(self.ctx, c"GET".as_ptr(), c"s".as_ptr(), self.name.as_ptr());
            let reply = NonNull::new(reply)?;
            let mut length = 0;
            let start = api!(RedisModule_CallReplyStringPtr)(reply.as_ptr(), &mut length);
            let value =
                (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast::<u8>(), length).to_vec());
            api!(RedisModule_FreeCallReply)(reply.as_ptr());
            value
        }
    }

    // Hashes.

    /// The value of a field of a hash; None where there is no such field or hash.
    #[must_use]
    pub fn field(&self, field: &OwnedString) -> Option<OwnedString> {
        if self.handle.is_null() {
            return None;
        }
        let mut value: *mut raw::RedisModuleString = null_mut();
        // SAFETY: the handle is open; the list of fields ends in null; a value that comes back is ours.
        unsafe {
            api!(RedisModule_HashGet)(
                self.handle,
                raw::REDISMODULE_HASH_NONE as c_int,
                field.as_ptr(),
                &raw mut value,
                null_mut::<c_void>(),
            );
        }
        OwnedString::from_server(value)
    }

    /// The name of one field of a hash, whichever; None if there is none, or no hash.
    #[must_use]
    pub fn any_field(&self) -> Option<Vec<u8>> {
        unsafe extern "C" fn look(
            _: *mut raw::RedisModuleKey,
            field: *mut raw::RedisModuleString,
            _: *mut raw::RedisModuleString,
            found: *mut c_void,
        ) {
            // SAFETY: `found` is the pointer passed below; the field is live during this callback.
            unsafe {
                let found = &mut *found.cast::<Option<Vec<u8>>>();
                if found.is_none() {
                    *found = Some(bytes(field).to_vec());
                }
            }
        }
        if self.kind() != Kind::Hash {
            return None;
        }
        let mut found: Option<Vec<u8>> = None;
        // SAFETY: the handle is open on a hash; the cursor is destroyed; `found` outlives the scan.
        unsafe {
            let cursor = api!(RedisModule_ScanCursorCreate)();
            while found.is_none()
                && api!(RedisModule_ScanKey)(self.handle, cursor, Some(look), (&raw mut found).cast()) != 0
            {
            }
            api!(RedisModule_ScanCursorDestroy)(cursor);
        }
        found
    }

    /// Sets fields of a hash, which is created if there is none.
    #[inline(always)]
    pub fn set_fields(&mut self, fields: &[(&OwnedString, OwnedString)]) {
        if self.handle.is_null() {
            return;
        }
        /// Sets these fields by one call, and replicates that by another.
        macro_rules! set {
            ($format:literal, $($pair:ident)+) => {
                // SAFETY: the handle is open for writing; the list of fields and values ends in null, and the format
                // agrees with it; the server copies or keeps what it is given.
                unsafe {
                    api!(RedisModule_HashSet)(
                        self.handle,
                        raw::REDISMODULE_HASH_NONE as c_int,
                        $($pair.0.as_ptr(), $pair.1.as_ptr(),)+
                        null_mut::<c_void>(),
                    );
                    api!(RedisModule_Replicate)(
                        self.ctx,
                        c"HSET".as_ptr(),
                        $format.as_ptr(),
                        self.name.as_ptr(),
                        $($pair.0.as_ptr(), $pair.1.as_ptr(),)+
                    );
                }
            };
        }
        match fields {
            [] => return,
            [a] => set!(c"sss", a),
            [a, b] => set!(c"sssss", a b),
            [a, b, c] => set!(c"sssssss", a b c),
            [a, b, c, d] => set!(c"sssssssss", a b c d),
            many => {
                for (field, value) in many {
                    // SAFETY: as above.
                    unsafe {
                        api!(RedisModule_HashSet)(
                            self.handle,
                            raw::REDISMODULE_HASH_NONE as c_int,
                            field.as_ptr(),
                            value.as_ptr(),
                            null_mut::<c_void>(),
                        );
                    }
                }
                let words = many.iter().flat_map(|(field, value)| [field.as_ptr(), value.as_ptr()]);
                self.replicate_list(c"HSET".as_ptr(), words.collect());
            }
        }
        if self.kind != Kind::Hash {
            self.look();
        }
        self.changed = true;
    }

    /// Removes fields of a hash; it goes with its last.
    pub fn delete_fields(&mut self, fields: &[&OwnedString]) {
        if fields.is_empty() || self.handle.is_null() {
            return;
        }
        for field in fields {
            // SAFETY: the handle is open for writing; the list ends in null; the marker is the API's own.
            unsafe {
                api!(RedisModule_HashSet)(
                    self.handle,
                    raw::REDISMODULE_HASH_NONE as c_int,
                    field.as_ptr(),
                    raw::REDISMODULE_HASH_DELETE,
                    null_mut::<c_void>(),
                );
            }
        }
        self.replicate_list(c"HDEL".as_ptr(), fields.iter().map(|field| field.as_ptr()).collect());
        self.look();
        self.changed = true;
    }

    // Sorted sets.

    /// How many elements the key holds; none where there is no key.
    #[must_use]
    pub fn length(&self) -> usize {
        if self.handle.is_null() {
            return 0;
        }
        // SAFETY: the handle is open.
        unsafe { api!(RedisModule_ValueLength)(self.handle) }
    }

    /// The member with the highest score.
    #[must_use]
    pub fn last_member(&self) -> Option<Member> {
        if self.kind() != Kind::SortedSet {
            return None;
        }
        // SAFETY: the handle is open on a sorted set; the iterator is stopped before any change.
        unsafe {
            api!(RedisModule_ZsetLastInScoreRange)(self.handle, f64::NEG_INFINITY, f64::INFINITY, 0, 0);
            let member = self.current_member();
            api!(RedisModule_ZsetRangeStop)(self.handle);
            member
        }
    }

    /// Visits the members whose score is above `score`, lowest first, until `visit` answers false.
    pub fn members_above(&self, score: f64, visit: impl FnMut(Member) -> bool) {
        self.members_within(score, true, f64::INFINITY, visit);
    }

    /// Visits the members whose score is from `least` (not that itself, if `above`) to `most`.
    fn members_within(&self, least: f64, above: bool, most: f64, mut visit: impl FnMut(Member) -> bool) {
        if self.kind() != Kind::SortedSet {
            return;
        }
        // SAFETY: the handle is open on a sorted set; the iterator is stopped before any change.
        unsafe {
            api!(RedisModule_ZsetFirstInScoreRange)(self.handle, least, most, c_int::from(above), 0);
            while let Some(member) = self.current_member() {
                if !visit(member) {
                    break;
                }
                api!(RedisModule_ZsetRangeNext)(self.handle);
            }
            api!(RedisModule_ZsetRangeStop)(self.handle);
        }
    }

    /// # Safety
    ///
    /// A range over the sorted set has been begun.
    unsafe fn current_member(&self) -> Option<Member> {
        let mut score = 0.0;
        // SAFETY: the caller began a range; the string that comes back is ours.
        unsafe {
            if api!(RedisModule_ZsetRangeEndReached)(self.handle) != 0 {
                return None;
            }
            let text = api!(RedisModule_ZsetRangeCurrentElement)(self.handle, &raw mut score);
            OwnedString::from_server(text).map(|text| Member { text, score })
        }
    }

    /// Adds a member to a sorted set, which is created if there is none. `score_text` is what is replicated.
    pub fn add_member(&mut self, score: f64, score_text: &[u8], member: &OwnedString) {
        if self.handle.is_null() {
            return;
        }
        // SAFETY: the handle is open for writing; format and arguments agree, and the server copies the text.
        unsafe {
            if !is_ok(api!(RedisModule_ZsetAdd)(self.handle, score, member.as_ptr(), null_mut())) {
                return;
            }
            api!(RedisModule_Replicate)(
                self.ctx,
                c"ZADD".as_ptr(),
                c"sbs".as_ptr(),
                self.name.as_ptr(),
                score_text.as_ptr().cast::<c_char>(),
                score_text.len(),
                member.as_ptr(),
            );
        }
        if self.kind != Kind::SortedSet {
            self.look();
        }
        self.changed = true;
    }

    /// Removes members from a sorted set; it goes with its last.
    pub fn remove_members(&mut self, members: &[OwnedString]) {
        if members.is_empty() || self.kind() != Kind::SortedSet {
            return;
        }
        for member in members {
            self.remove_member(member);
        }
        self.look();
        self.replicate_list(c"ZREM".as_ptr(), members.iter().map(OwnedString::as_ptr).collect());
    }

    /// Removes up to `at_most` members of lowest score, none of them above `score`.
    pub fn remove_lowest(&mut self, score: f64, at_most: usize) {
        if at_most == 0 {
            return;
        }
        let mut lowest: SmallVec<[_; 8]> = SmallVec::new();
        // From rank 0 on, which is what is replicated.
        self.members_within(f64::NEG_INFINITY, false, score, |member| {
            lowest.push(member.text);
            lowest.len() < at_most
        });
        if lowest.is_empty() {
            return;
        }
        for member in &lowest {
            self.remove_member(member);
        }
        self.look();
        let last_rank = i64::try_from(lowest.len()).unwrap_or(i64::MAX).saturating_sub(1);
        // SAFETY: format and arguments agree.
        unsafe {
            api!(RedisModule_Replicate)(
                self.ctx,
                c"ZREMRANGEBYRANK".as_ptr(),
                c"scl".as_ptr(),
                self.name.as_ptr(),
                c"0".as_ptr(),
                last_rank,
            );
        }
    }

    /// Whoever calls this [looks](Self::look) when done.
    fn remove_member(&mut self, member: &OwnedString) {
        // SAFETY: the handle is open for writing, and no range is under way.
        unsafe {
            api!(RedisModule_ZsetRem)(self.handle, member.as_ptr(), null_mut());
        }
        self.changed = true;
    }

    /// Replicates a command of this key's name and a list of words.
    fn replicate_list(&self, command: *const c_char, mut words: Vec<*mut raw::RedisModuleString>) {
        // SAFETY: format and arguments agree; all strings are live during the call.
        unsafe {
            api!(RedisModule_Replicate)(
                self.ctx,
                command,
                c"sv".as_ptr(),
                self.name.as_ptr(),
                words.as_mut_ptr(),
                words.len(),
            );
        }
    }
}

/// Whether the server did what it was asked. What it did not do must not be replicated.
fn is_ok(status: c_int) -> bool {
    status == raw::REDISMODULE_OK as c_int
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        // SAFETY: handle, context and name are live; the handle is not used again. Only what changed is
        // signalled, so that a refused call breaks no WATCH.
        unsafe {
            if !self.handle.is_null() {
                api!(RedisModule_CloseKey)(self.handle);
            }
            if self.changed {
                api!(RedisModule_SignalModifiedKey)(self.ctx, self.name.as_ptr());
            }
        }
    }
}
