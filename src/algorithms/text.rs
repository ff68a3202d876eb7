//! Numbers as the text that hash fields and sorted-set members hold.

/// Longest state text: two counts of 13 digits, a time of 19 and their separators fit well.
const CAPACITY: usize = 64;

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
        let value = value.unsigned_abs();
        if value < EIGHT_DIGITS {
            return self.leading(value);
        }
        let (upper, lower) = (value / EIGHT_DIGITS, value % EIGHT_DIGITS);
        if upper < EIGHT_DIGITS {
            self.leading(upper);
        } else {
            self.leading(upper / EIGHT_DIGITS).eight(to_eight_digits(upper % EIGHT_DIGITS), 8);
        }
        self.eight(to_eight_digits(lower), 8)
    }

    /// Appends a figure given in millionths as a decimal without trailing zeros: 26750000 as `26.75`. As
    /// [`number`](Self::number), if there is room for the longest.
    #[inline]
    pub fn millionths(&mut self, value: i64) -> &mut Self {
        // The point, and eight bytes that are written for six digits.
        if self.length > CAPACITY - LONGEST - 9 {
            return self;
        }
        let value = value.max(0);
        self.number(value / MILLION);
        let rest = (value % MILLION).unsigned_abs();
        if rest > 0 {
            // Six digits and two zeros; the last digits are the topmost bytes.
            let digits = to_eight_digits(rest.saturating_mul(100));
            self.byte(b'.').eight(digits, 8_u32.saturating_sub(digits.leading_zeros() / 8));
        }
        self
    }

    /// Appends a number of up to eight digits, without leading zeros.
    #[inline]
    fn leading(&mut self, value: u64) -> &mut Self {
        let digits = to_eight_digits(value);
        let zeros = (digits.trailing_zeros() / 8).min(7);
        self.eight(digits >> zeros.saturating_mul(8), 8_u32.saturating_sub(zeros))
    }

    /// Appends the first `length` of eight digits, one in each byte. All eight are written, which is quicker.
    #[inline]
    fn eight(&mut self, digits: u64, length: u32) -> &mut Self {
        let rest = self.bytes.get_mut(self.length..).unwrap_or_default();
        if let Some(place) = rest.first_chunk_mut() {
            *place = (digits | ZEROS).to_le_bytes();
            self.length = self.length.saturating_add(length as usize);
        }
        self
    }
}

/// A sign and nineteen digits.
const LONGEST: usize = 20;

/// Numbers below this have at most eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

/// Eight times the character 0.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight decimal digits of a number below [`EIGHT_DIGITS`], one in each byte, the first the lowest: halved to fours,
/// to pairs, to digits, each by a multiplication and a shift. Every charge writes a timestamp, which has sixteen.
/// (The reverse of D. Lemire, "Quickly parsing eight digits", 2018.)
#[inline]
fn to_eight_digits(value: u64) -> u64 {
    // What a half of a pair is divided by, as a multiplication and a shift: exact for what halves can be.
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = (fours.wrapping_mul(5243) >> 19) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (fours.wrapping_sub(hundreds.wrapping_mul(100)) << 16);
    let tens = (pairs.wrapping_mul(103) >> 10) & 0x000f_000f_000f_000f;
    tens | (pairs.wrapping_sub(tens.wrapping_mul(10)) << 8)
}

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
