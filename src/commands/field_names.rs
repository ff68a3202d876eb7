//! The names of fields as the server's strings, created once: the same few limits are asked for again and again.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use super::grammar::Limit;
use crate::algorithms::{Span, Tag};
use crate::server::OwnedString;

/// How many names are kept.
const PLACES: usize = 64;

/// A name, and what makes it.
struct Kept {
    tag: Tag,
    window: Span,
    name: Box<[u8]>,
    string: Rc<OwnedString>,
}

impl Kept {
    fn is_of(&self, tag: Tag, limit: &Limit<'_>) -> bool {
        // Most limits have no name, and comparing nothing costs a call.
        let named_alike = || limit.name.is_empty() || *self.name == *limit.name;
        self.tag == tag
            && self.window == limit.terms.window
            && self.name.len() == limit.name.len()
            && named_alike()
    }
}

type Names = RefCell<[Option<Kept>; PLACES]>;

thread_local! {
    // Not dropped with the thread: a destructor would keep the library from being unloaded. `forget` frees it.
    static NAMES: ManuallyDrop<Names> = const { ManuallyDrop::new(RefCell::new([const { None }; PLACES])) };
}

/// The name of the field with this tag that holds the state of `limit`.
#[inline(always)]
pub fn field_name(tag: Tag, limit: &Limit<'_>) -> Rc<OwnedString> {
    NAMES.with(|names| {
        let mut names = names.borrow_mut();
        match names.get_mut(place(tag, limit)) {
            Some(Some(kept)) if kept.is_of(tag, limit) => Rc::clone(&kept.string),
            // By value, so that a limit whose name is known need not be kept in memory.
            place => create(tag, *limit, place),
        }
    })
}

/// The name of a field, kept in `place` from now on.
#[cold]
#[inline(never)]
fn create(tag: Tag, limit: Limit<'_>, place: Option<&mut Option<Kept>>) -> Rc<OwnedString> {
    let string = Rc::new(OwnedString::new(limit.field(tag).as_bytes()));
    if let Some(place) = place {
        let (window, name) = (limit.terms.window, limit.name.into());
        *place = Some(Kept { tag, window, name, string: Rc::clone(&string) });
    }
    string
}

/// Where a name is kept, if it is.
fn place(tag: Tag, limit: &Limit<'_>) -> usize {
    let [first, second] = tag;
    let tag = u64::from(second).wrapping_mul(3).wrapping_add(u64::from(first));
    let name = limit.name.last().map_or(0, |last| u64::from(*last)).wrapping_mul(7);
    // Windows are whole milliseconds, mostly seconds: the odd multiplier brings what differs to the top.
    let window = limit.terms.window.us().cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let length = limit.name.len();
    (window.wrapping_add(tag).wrapping_add(name) as usize).wrapping_add(length) % PLACES
}

/// Frees all names, before the module is unloaded.
pub fn forget() {
    NAMES.with(|names| names.borrow_mut().fill_with(|| None));
}
