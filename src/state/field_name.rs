//! The names of fields as the server's strings, created once: the same few limits are asked for again and again.

use std::cell::RefCell;
use std::rc::Rc;

use crate::algorithms::text;
use crate::algorithms::{FixedWindow, Span, Tag, months_of};
use crate::server::{Call, OfServer, OwnedString, Unload};

/// How many names are kept.
const PLACES: usize = 64;

/// No name is longer: a tag, a window of 18 digits, a name of 32 bytes and two separators.
const LONGEST: usize = 54;

/// A name, and what makes it.
struct Kept {
    tag: Tag,
    window: Span,
    name: Box<[u8]>,
    string: Rc<OwnedString>,
}

impl Kept {
    fn is_of(&self, tag: Tag, window: Span, name: &[u8]) -> bool {
        // Most limits have no name, and comparing nothing costs a call.
        let named_alike = || name.is_empty() || *self.name == *name;
        self.tag == tag && self.window == window && self.name.len() == name.len() && named_alike()
    }
}

static NAMES: OfServer<RefCell<[Option<Kept>; PLACES]>> =
    OfServer::new(RefCell::new([const { None }; PLACES]));

/// The name of the field with this tag that holds the state of a limit of this window and name:
/// `<tag>:<window ms>[:name]`, or `<tag>:<count>mo[:name]` of calendar months.
#[inline(always)]
pub fn field_name(call: &Call<'_>, tag: Tag, window: Span, name: &[u8]) -> Rc<OwnedString> {
    let mut names = NAMES.get(call).borrow_mut();
    match names.get_mut(place(tag, window, name)) {
        Some(Some(kept)) if kept.is_of(tag, window, name) => Rc::clone(&kept.string),
        place => create(call, tag, window, name, place),
    }
}

/// The name of a field, kept in `place` from now on.
#[cold]
fn create(
    call: &Call<'_>,
    tag: Tag,
    window: Span,
    name: &[u8],
    place: Option<&mut Option<Kept>>,
) -> Rc<OwnedString> {
    let (count, unit) = months_of(window).map_or((window.floor_ms(), ""), |months| (months, "mo"));
    let mut text = format!("{}:{count}{unit}", tag.escape_ascii()).into_bytes();
    if !name.is_empty() {
        text.push(b':');
        text.extend_from_slice(name);
    }
    let string = Rc::new(call.string(&text));
    if let Some(place) = place {
        *place = Some(Kept { tag, window, name: name.into(), string: Rc::clone(&string) });
    }
    string
}

/// Where a name is kept, if it is.
fn place(tag: Tag, window: Span, name: &[u8]) -> usize {
    let [first, second] = tag;
    let tag = u64::from(second).wrapping_mul(3).wrapping_add(u64::from(first));
    let last = name.last().map_or(0, |last| u64::from(*last)).wrapping_mul(7);
    // Windows are whole milliseconds, mostly seconds: the odd multiplier brings what differs to the top.
    let window = window.us().cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (window.wrapping_add(tag).wrapping_add(last) as usize).wrapping_add(name.len()) % PLACES
}

/// Frees all names, before the module is unloaded.
pub fn forget(unload: &Unload) {
    NAMES.at_unload(unload).borrow_mut().fill_with(|| None);
}

/// The tag of a hash's field that may be a limiter's; None if the field is named otherwise.
#[must_use]
pub fn tag_of(field: &[u8]) -> Option<Tag> {
    let (tag, rest) = field.split_first_chunk()?;
    let (_, rest) = text::leading_number(rest.strip_prefix(b":")?)?;
    // Months are aligned.
    let of_months = rest.strip_prefix(b"mo").filter(|_| *tag == FixedWindow::ALIGNED);
    let rest = of_months.unwrap_or(rest);
    (field.len() <= LONGEST && (rest.is_empty() || rest.starts_with(b":"))).then_some(*tag)
}
