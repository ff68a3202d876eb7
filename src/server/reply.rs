//! Arrays of integers, replied in one piece.
//!
//! The API takes a reply integer by integer, some 200 instructions each: seven would be a fifth of a call. What it sends
//! in one piece, as it is, is the text of another command's reply. So a few such replies are kept, one of each length,
//! and ours is written over their text.
//!
//! The API hands that text out to be read only. So this is done on [`KNOWN_VERSIONS`] alone, on which the text lies in
//! memory of the reply's own that nobody else looks at, and is copied when it is sent. On all others integers are replied
//! one by one. tests/replies.rs holds both against each other.

use std::cell::RefCell;
use std::os::raw::c_int;
use std::ptr::NonNull;

use redis_module::raw;

use super::api::api;
use super::register::Load;
use super::string::OwnedString;
use crate::decimal;

/// The most integers of an array that is replied in one piece, …
const MOST: usize = 7;

/// … and of those that stand before it in another array.
const MOST_BEFORE: usize = 2;

/// The longest text that they make: each of 23 bytes at most, a colon, a sign, 19 digits and the end of a line, and two
/// arrays' heads of no more.
const LONGEST: usize = 23 * (MOST + MOST_BEFORE + 2);

/// The shortest: five integers of one digit.
const SHORTEST: usize = 24;

/// The string whose text is as long, `$17`, the end of a line, the string and again the end of a line.
const SHORTEST_STRING: usize = 17;

/// Versions of Redis and of Valkey, which counts alike, whose `RM_ReplyWithCallReply`, `call_reply.c` and
/// `addReplyProto` were looked at for what is said above: 7.0 to 8.2, a byte each of major, minor and patch.
const KNOWN_VERSIONS: std::ops::Range<c_int> = 0x07_00_00..0x08_03_00;

/// Replies whose text is ours to write.
pub(super) struct Pieces(RefCell<Option<Kept>>);

struct Kept {
    /// The context that they were made in, which has to outlive them.
    ctx: NonNull<raw::RedisModuleCtx>,
    /// The array that all of them are elements of.
    all: NonNull<raw::RedisModuleCallReply>,
    /// By the length of their text, from [`SHORTEST`] on. A string of 99 bytes has a text of 106, one of 100 a text of
    /// 108: there is none of 107.
    by_length: Vec<Option<Piece>>,
}

struct Piece {
    reply: NonNull<raw::RedisModuleCallReply>,
    text: NonNull<u8>,
}

impl Pieces {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Makes the replies, on a server where they can be used; elsewhere there are none.
    pub(super) fn prepare(&self, load: &Load) {
        if !is_known_version() {
            return;
        }
        match Kept::new(load) {
            Some(kept) => {
                self.0.replace(Some(kept));
            }
            None => {
                load.log(c"notice", "Replies go integer by integer: COMMAND GETKEYS MGET does not answer")
            }
        }
    }

    /// Gives the replies back to the server.
    pub(super) fn forget(&self) {
        if let Some(kept) = self.0.take() {
            kept.free();
        }
    }

    /// Replies in one piece an array of integers; before it, if it is the first in another array, that one's length and
    /// the integers that stand before it there. False if that is not possible.
    #[inline(always)]
    pub(super) fn reply(
        &self,
        ctx: *mut raw::RedisModuleCtx,
        before: Option<(usize, &[i64])>,
        integers: &[i64],
    ) -> bool {
        let kept = self.0.borrow();
        let Some(kept) = kept.as_ref() else { return false };
        if integers.len() > MOST || before.is_some_and(|(_, integers)| integers.len() > MOST_BEFORE) {
            return false;
        }
        let mut reply = ReplyText { bytes: [0; LONGEST + WRITTEN_AT_ONCE], length: 0 };
        if let Some((length, integers)) = before {
            reply.array(length, integers);
        }
        reply.array(integers.len(), integers);
        let text = reply.text();
        let Some(Some(piece)) = kept.by_length.get(text.len().wrapping_sub(SHORTEST)) else { return false };
        // SAFETY: the piece's text is as long as ours and not ours itself; on this server (`is_known_version`) it can be
        // written and is nobody else's, see above. The reply and the context are live.
        unsafe {
            piece.text.copy_from_nonoverlapping(NonNull::from(text).cast(), text.len());
            api!(RedisModule_ReplyWithCallReply)(ctx, piece.reply.as_ptr()) == raw::REDISMODULE_OK as c_int
        }
    }
}

/// Whether this is one of [`KNOWN_VERSIONS`].
fn is_known_version() -> bool {
    // SAFETY: the pointer is written once, at load; the function has no arguments.
    let version = unsafe { raw::RedisModule_GetServerVersion.map(|version| version()) };
    version.is_some_and(|version| KNOWN_VERSIONS.contains(&version))
}

impl Kept {
    /// An array of strings of all lengths that are needed. COMMAND GETKEYS answers one: the keys that we name. None if
    /// the server does not.
    fn new(load: &Load) -> Option<Self> {
        let keys: Vec<_> =
            (SHORTEST_STRING..=LONGEST).map(|length| OwnedString::new(&b"x".repeat(length))).collect();
        let mut words: Vec<_> = keys.iter().map(OwnedString::as_ptr).collect();
        // SAFETY: contexts and words are live and fit the format; the elements live as long as the array, and that is
        // freed before its context.
        unsafe {
            let ctx = NonNull::new(api!(RedisModule_GetDetachedThreadSafeContext)(load.ctx()))?;
            let all = api!(RedisModule_Call)(
                ctx.as_ptr(),
                c"COMMAND".as_ptr(),
                c"ccv".as_ptr(),
                c"GETKEYS".as_ptr(),
                c"MGET".as_ptr(),
                words.as_mut_ptr(),
                words.len(),
            );
            let Some(all) = NonNull::new(all) else {
                api!(RedisModule_FreeThreadSafeContext)(ctx.as_ptr());
                return None;
            };
            let mut kept = Self { ctx, all, by_length: Vec::new() };
            kept.by_length.resize_with(LONGEST, || None);
            for at in 0..api!(RedisModule_CallReplyLength)(all.as_ptr()) {
                let Some(reply) = NonNull::new(api!(RedisModule_CallReplyArrayElement)(all.as_ptr(), at))
                else {
                    break;
                };
                let mut length = 0;
                let text = api!(RedisModule_CallReplyProto)(reply.as_ptr(), &mut length);
                let place = length.checked_sub(SHORTEST).and_then(|at| kept.by_length.get_mut(at));
                if let (Some(place), Some(text)) = (place, NonNull::new(text.cast_mut())) {
                    *place = Some(Piece { reply, text: text.cast::<u8>() });
                }
            }
            if kept.by_length.iter().any(Option::is_some) {
                return Some(kept);
            }
            kept.free();
            None
        }
    }

    fn free(self) {
        // SAFETY: the array is ours to free, its elements with it, which nobody uses any more; then its context.
        unsafe {
            api!(RedisModule_FreeCallReply)(self.all.as_ptr());
            api!(RedisModule_FreeThreadSafeContext)(self.ctx.as_ptr());
        }
    }
}

/// A reply as it goes over the wire. There is room for [`LONGEST`].
struct ReplyText {
    bytes: [u8; LONGEST + WRITTEN_AT_ONCE],
    length: usize,
}

/// A number's place is written as a whole, between its mark and the end of its line.
const WRITTEN_AT_ONCE: usize = 2 + decimal::ROOM + 2;

impl ReplyText {
    fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// An array of that length and its first elements; the others are to follow.
    #[inline(always)]
    fn array(&mut self, length: usize, integers: &[i64]) {
        self.line(*b"*", length as u64);
        for integer in integers {
            if *integer < 0 {
                self.line(*b":-", integer.unsigned_abs());
            } else {
                self.line(*b":", integer.unsigned_abs());
            }
        }
    }

    #[inline(always)]
    fn line<const MARK: usize>(&mut self, mark: [u8; MARK], value: u64) {
        let rest = self.bytes.get_mut(self.length..).unwrap_or_default();
        let Some((before, rest)) = rest.split_first_chunk_mut() else { return };
        let Some((number, _)) = rest.split_first_chunk_mut::<{ decimal::ROOM }>() else { return };
        *before = mark;
        let digits = decimal::write(value, number);
        if let Some(end) = rest.get_mut(digits..).and_then(<[u8]>::first_chunk_mut) {
            *end = *b"\r\n";
        }
        self.length = self.length.wrapping_add(MARK).wrapping_add(digits).wrapping_add(2);
    }
}
