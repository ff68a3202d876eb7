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

/// The longest text that is replied in one piece: an array's head and two integers, then an array of seven.
const LONGEST: usize = HEAD + 2 * INTEGER + HEAD + 7 * INTEGER;

/// The longest head of an array, `*66` and the end of its line, …
const HEAD: usize = 5;

/// … and the longest integer, a colon, a sign, 19 digits and the end of its line.
const INTEGER: usize = 23;

/// The shortest: five integers of one digit.
const SHORTEST: usize = 24;

/// Versions of Redis, and of Valkey, which counts alike, whose `RM_ReplyWithCallReply`, `call_reply.c` and
/// `addReplyProto` were looked at for what is said above: 7.0 to 8.0, and 8.2. A version is a byte each of major, minor
/// and patch.
const KNOWN_VERSIONS: [std::ops::Range<c_int>; 2] = [0x07_00_00..0x08_01_00, 0x08_02_00..0x08_03_00];

/// Replies whose text is ours to write.
pub(super) struct Pieces(RefCell<Option<Kept>>);

struct Kept {
    /// The context that they were made in, which has to outlive them.
    ctx: NonNull<raw::RedisModuleCtx>,
    /// The array that all of them are elements of.
    all: NonNull<raw::RedisModuleCallReply>,
    /// By the length of their text, from [`SHORTEST`] on.
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
        self.0.replace(is_known_version().then(|| Kept::new(load)).flatten());
    }

    /// Gives the replies back to the server.
    pub(super) fn forget(&self) {
        if let Some(kept) = self.0.take() {
            // SAFETY: the array is ours to free, its elements with it, which nobody uses any more; then its context.
            unsafe {
                api!(RedisModule_FreeCallReply)(kept.all.as_ptr());
                api!(RedisModule_FreeThreadSafeContext)(kept.ctx.as_ptr());
            }
        }
    }

    /// Replies in one piece what `write` writes; false if that is not possible.
    #[inline(always)]
    pub(super) fn reply(&self, ctx: *mut raw::RedisModuleCtx, write: impl FnOnce(&mut Backwards)) -> bool {
        let kept = self.0.borrow();
        let Some(kept) = kept.as_ref() else { return false };
        let mut reply = Backwards { bytes: [0; LONGEST], start: LONGEST };
        write(&mut reply);
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
    version.is_some_and(|version| KNOWN_VERSIONS.iter().any(|known| known.contains(&version)))
}

impl Kept {
    /// An array of strings of all lengths that are needed. COMMAND GETKEYS answers one: the keys that we name. None if
    /// the server does not give it.
    fn new(load: &Load) -> Option<Self> {
        let keys: Vec<_> = (1..=LONGEST).map(|length| OwnedString::new(&b"x".repeat(length))).collect();
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
            Some(kept)
        }
    }
}

/// A reply that is written from its end, since a number's last digit is the first that is known. What finds no room is
/// dropped; nobody writes as much.
pub(super) struct Backwards {
    bytes: [u8; LONGEST],
    start: usize,
}

impl Backwards {
    /// The last elements of an array, which are integers.
    #[inline(always)]
    pub(super) fn integers(&mut self, integers: &[i64]) {
        for integer in integers.iter().rev() {
            self.integer(*integer);
        }
    }

    /// The head of an array of so many elements, up to 99, all of which are written.
    #[inline(always)]
    pub(super) fn array(&mut self, length: usize) {
        self.put(*b"\r\n");
        self.digits(length as u64);
        self.put([b'*']);
    }

    #[inline(always)]
    fn text(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    #[inline(always)]
    fn integer(&mut self, integer: i64) {
        self.put(*b"\r\n");
        self.digits(integer.unsigned_abs());
        if integer < 0 {
            self.put([b'-']);
        }
        self.put([b':']);
    }

    #[inline(always)]
    fn digits(&mut self, mut value: u64) {
        while value >= 100 {
            let pair = value % 100;
            value /= 100;
            self.put([digit(pair / 10), digit(pair % 10)]);
        }
        if value >= 10 {
            self.put([digit(value / 10), digit(value % 10)]);
        } else {
            self.put([digit(value)]);
        }
    }

    /// Writes what comes before all that was written so far. There is room for it.
    #[inline(always)]
    fn put<const LENGTH: usize>(&mut self, piece: [u8; LENGTH]) {
        self.start = self.start.saturating_sub(LENGTH);
        if let Some(place) = self.bytes.get_mut(self.start..).and_then(<[u8]>::first_chunk_mut) {
            *place = piece;
        }
    }
}

/// The character of a digit from 0 to 9.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "it is below ten")]
fn digit(value: u64) -> u8 {
    (value as u8).wrapping_add(b'0')
}
