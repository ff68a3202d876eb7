//! The names of fields as the server's strings, created once: the same few limits are asked for again and again.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use super::grammar::Limit;
use crate::algorithms::Span;
use crate::server::OwnedString;

/// How many names are kept.
const PLACES: usize = 64;

/// A name, and what makes it.
struct Kept {
    tag: &'static str,
    window: Span,
    name: Box<[u8]>,
    string: Rc<OwnedString>,
}

type Names = RefCell<[Option<Kept>; PLACES]>;

thread_local! {
    // Not dropped with the thread: a destructor would keep the library from being unloaded. `forget` frees it.
    static NAMES: ManuallyDrop<Names> = const { ManuallyDrop::new(RefCell::new([const { None }; PLACES])) };
}

/// The name of the field that holds the state of `limit`.
pub fn field_name(limit: &Limit<'_>) -> Rc<OwnedString> {
    let tag = limit.tag();
    let fresh = || Rc::new(OwnedString::new(limit.field().as_bytes()));
    NAMES.with(|names| {
        let mut names = names.borrow_mut();
        let Some(place) = names.get_mut(place(limit, tag)) else {
            return fresh();
        };
        match place {
            Some(kept)
                if kept.window == limit.terms.window && kept.tag == tag && *kept.name == *limit.name =>
            {
                Rc::clone(&kept.string)
            }
            _ => {
                let (window, name, string) = (limit.terms.window, limit.name.into(), fresh());
                Rc::clone(&place.insert(Kept { tag, window, name, string }).string)
            }
        }
    })
}

/// Where a name is kept, if it is.
fn place(limit: &Limit<'_>, tag: &str) -> usize {
    let byte = |bytes: &[u8]| bytes.last().copied().map_or(0, usize::from);
    // Windows are whole milliseconds, mostly seconds: the odd multiplier brings what differs to the top.
    let window = usize::try_from(limit.terms.window.us()).unwrap_or(0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed =
        (window >> 32).wrapping_add(byte(tag.as_bytes())).wrapping_add(byte(limit.name).wrapping_mul(7));
    mixed.wrapping_add(limit.name.len()) % PLACES
}

/// Frees all names, before the module is unloaded.
pub fn forget() {
    NAMES.with(|names| names.borrow_mut().fill_with(|| None));
}
