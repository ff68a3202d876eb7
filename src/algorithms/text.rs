//! Numbers as the text that hash fields and sorted-set members hold.

use crate::decimal::{self, EIGHT_DIGITS};

/// Longest state text: two counts of 13 digits, a time of 19 and their separators fit well.
const CAPACITY: usize = 72;

/// A short ASCII text, built without allocating.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; CAPACITY], length: 0 }
    }
}

impl Text {
    /// The text so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Takes all of it away.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends `bytes`; what does not fit is dropped.
    pub fn push(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.length.saturating_add(bytes.len());
        if let Some(rest) = self.bytes.get_mut(self.length..end) {
            rest.copy_from_slice(bytes);
            self.length = end;
        }
        self
    }

    /// Appends one byte, if it fits.
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length = self.length.saturating_add(1);
        }
        self
    }

    /// Appends a whole number in decimal, if there is room for the longest.
    #[inline]
    pub fn number(&mut self, value: i64) -> &mut Self {
        if self.length > CAPACITY - LONGEST {
            return self;
        }
        if value < 0 {
            self.byte(b'-');
        }
        let rest = self.bytes.get_mut(self.length..).unwrap_or_default();
        if let Some(place) = rest.first_chunk_mut() {
            self.length = self.length.saturating_add(decimal::write(value.unsigned_abs(), place));
        }
        self
    }

    /// Appends a figure given in millionths as a decimal without trailing zeros: 26750000 as `26.75`. As
    /// [`number`](Self::number), if there is room for the longest.
    #[inline]
    pub fn millionths(&mut self, value: i64) -> &mut Self {
        if self.length > CAPACITY - LONGEST_MILLIONTHS {
            return self;
        }
        let value = value.max(0);
        self.number(value / MILLION);
        let rest = (value % MILLION).unsigned_abs();
        if rest > 0 {
            // Six digits and two zeros; the last digits are the topmost bytes.
            let digits = decimal::to_eight_digits(rest.saturating_mul(100));
            self.byte(b'.');
            let place = self.bytes.get_mut(self.length..).and_then(<[u8]>::first_chunk_mut);
            if let Some(place) = place {
                *place = decimal::characters(digits);
                let length = 8_u32.saturating_sub(digits.leading_zeros() / 8);
                self.length = self.length.saturating_add(length as usize);
            }
        }
        self
    }
}

/// A sign, and the room that a number is written in.
const LONGEST: usize = 1 + decimal::ROOM;

/// That, the point, and eight bytes that are written for six digits.
const LONGEST_MILLIONTHS: usize = LONGEST + 9;

const MILLION: i64 = 1_000_000;

/// Splits `text` at its first `separator`.
#[must_use]
#[inline]
pub fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    let (left, right) = text.split_at_checked(at)?;
    Some((left, right.get(1..)?))
}

/// A whole number of 1 to 18 decimal digits.
#[must_use]
#[inline(always)]
pub fn number(text: &[u8]) -> Option<i64> {
    // Most are short.
    if text.len() >= 8 { long_number(text) } else { short_number(0, text) }.filter(|_| !text.is_empty())
}

/// The number with these digits, up to seven, after those of `value`.
#[inline(always)]
fn short_number(mut value: u64, digits: &[u8]) -> Option<i64> {
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    Some(value.cast_signed())
}

fn long_number(text: &[u8]) -> Option<i64> {
    if text.len() > 18 {
        return None;
    }
    let (eights, rest) = text.as_chunks::<8>();
    let mut value: u64 = 0;
    // 18 digits stay below i64::MAX.
    for eight in eights {
        value = value.wrapping_mul(EIGHT_DIGITS).wrapping_add(eight_digits(*eight)?);
    }
    short_number(value, rest)
}

/// Eight decimal digits at once: neighbours are joined to pairs, to fours, to all. A timestamp has two eights,
/// and every call reads one. (D. Lemire, "Quickly parsing eight digits", 2018.)
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let bytes = u64::from_le_bytes(text);
    let digits = bytes.wrapping_sub(ONES.wrapping_mul(0x30));
    // A byte is a digit if it has the upper half 3 both as it is and with 6 added.
    let upper = ONES.wrapping_mul(0xf0);
    let threes = ONES.wrapping_mul(0x30);
    if bytes & upper != threes || bytes.wrapping_add(ONES.wrapping_mul(6)) & upper != threes {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let fours = |shift: u32, weights: u64| ((pairs >> shift) & 0x0000_00ff_0000_00ff).wrapping_mul(weights);
    // 100 + (1_000_000 << 32), and 1 + (10_000 << 32).
    let joined = fours(0, 0x000f_4240_0000_0064).wrapping_add(fours(16, 0x0000_2710_0000_0001));
    Some(joined >> 32)
}

/// A decimal with at most six digits after the point, in millionths.
#[must_use]
#[inline]
pub fn millionths(text: &[u8]) -> Option<i64> {
    // Most have all six, which are read at once.
    if let Some((whole, [b'.', a, b, c, d, e, f])) = text.split_last_chunk() {
        let fraction = eight_digits([b'0', b'0', *a, *b, *c, *d, *e, *f])?;
        return number(whole)?.checked_mul(MILLION)?.checked_add(fraction.cast_signed());
    }
    let (whole, rest) = leading_number(text)?;
    let whole = whole.checked_mul(MILLION)?;
    let fraction = match rest {
        [] => return Some(whole),
        [b'.', fraction @ ..] => fraction,
        _ => return None,
    };
    let place = PLACES.get(fraction.len())?;
    whole.checked_add(number(fraction)?.checked_mul(*place)?)
}

/// Millionths that the last of so many digits after the point stands for.
const PLACES: [i64; 7] = [1_000_000, 100_000, 10_000, 1000, 100, 10, 1];

/// What a state says of its limiter, and the time of that in microseconds: `<figures>@<time>`.
#[must_use]
#[inline(always)]
pub fn stamped(text: &[u8]) -> Option<(&[u8], i64)> {
    // From 2001 to 2286 a time has sixteen digits.
    if let Some((figures, [b'@', time @ ..])) = text.split_last_chunk::<17>()
        && let ([upper, lower], []) = time.as_chunks()
    {
        let time = eight_digits(*upper)?.wrapping_mul(EIGHT_DIGITS).wrapping_add(eight_digits(*lower)?);
        return Some((figures, time.cast_signed()));
    }
    let (figures, time) = split(text, b'@')?;
    Some((figures, number(time)?))
}

/// A whole number of 1 to 18 decimal digits, and what follows it.
#[must_use]
#[inline]
pub fn leading_number(text: &[u8]) -> Option<(i64, &[u8])> {
    let mut value: u64 = 0;
    let mut length: usize = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        length = length.wrapping_add(1);
    }
    let (_, rest) = text.split_at_checked(length)?;
    (1..=18).contains(&length).then_some((value.cast_signed(), rest))
}
