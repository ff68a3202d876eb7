//! Numbers as the text that hash fields and sorted-set members hold.

use arrayvec::ArrayVec;

/// The longest state has 56 bytes: two numbers and a time of 18 digits each, and two separators.
const CAPACITY: usize = 64;

/// A short ASCII text, built without allocating.
#[derive(Clone, Debug, Default)]
pub struct Text(ArrayVec<u8, CAPACITY>);

/// A text would be longer than any state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Text {
    /// The text so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes all of it away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// [`TooLong`]; the text is of no use then. Likewise below.
    #[inline(always)]
    pub fn push(&mut self, bytes: &[u8]) -> Result<&mut Self, TooLong> {
        self.0.try_extend_from_slice(bytes).map_err(|_| TooLong)?;
        Ok(self)
    }

    /// Appends one byte.
    ///
    /// # Errors
    ///
    /// [`TooLong`]
    #[inline(always)]
    pub fn byte(&mut self, byte: u8) -> Result<&mut Self, TooLong> {
        self.0.try_push(byte).map_err(|_| TooLong)?;
        Ok(self)
    }

    /// Appends a whole number in decimal.
    ///
    /// # Errors
    ///
    /// [`TooLong`]
    #[inline(always)]
    pub fn number(&mut self, value: i64) -> Result<&mut Self, TooLong> {
        self.push(itoa::Buffer::new().format(value).as_bytes())
    }

    /// Appends a figure given in millionths, 0 or more, as a decimal without trailing zeros: 26750000 as `26.75`.
    ///
    /// # Errors
    ///
    /// [`TooLong`]
    pub fn millionths(&mut self, value: i64) -> Result<&mut Self, TooLong> {
        let value = value.max(0);
        self.number(value / MILLION)?;
        let mut rest = value % MILLION;
        if rest > 0 {
            // A million is put before, so that zeros in front are written.
            rest = rest.saturating_add(MILLION);
            while rest % 10 == 0 {
                rest /= 10;
            }
            let mut buffer = itoa::Buffer::new();
            self.byte(b'.')?.push(buffer.format(rest).as_bytes().get(1..).unwrap_or_default())?;
        }
        Ok(self)
    }
}

const MILLION: i64 = 1_000_000;

/// The most digits that a number has in state or in an argument: as many as always fit an `i64`.
const MAX_DIGITS: usize = 18;

/// A whole number of 1 to 18 decimal digits.
#[must_use]
#[inline(always)]
pub fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > MAX_DIGITS {
        return None;
    }
    let mut value: i64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 18 digits stay below the most that fits.
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    Some(value)
}

/// A whole number of 1 to 18 decimal digits, and what follows it.
///
/// Looks at 19 bytes at most.
#[must_use]
#[inline(always)]
pub fn leading_number(text: &[u8]) -> Option<(i64, &[u8])> {
    let mut value: i64 = 0;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        // 18 digits stay below the most that fits; of more the value does not matter.
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        rest = tail;
        if text.len().wrapping_sub(rest.len()) > MAX_DIGITS {
            return None;
        }
    }
    (rest.len() < text.len()).then_some((value, rest))
}

/// A decimal with at most six digits after the point, in millionths.
#[must_use]
#[inline(always)]
pub fn millionths(text: &[u8]) -> Option<i64> {
    let (whole, rest) = leading_number(text)?;
    let whole = whole.checked_mul(MILLION)?;
    match rest {
        [] => Some(whole),
        [b'.', fraction @ ..] => {
            let place = PLACES.get(fraction.len())?;
            // Below a million by construction.
            whole.checked_add(number(fraction)?.wrapping_mul(*place))
        }
        _ => None,
    }
}

/// Millionths that the last of so many digits after the point stands for.
const PLACES: [i64; 7] = [1_000_000, 100_000, 10_000, 1000, 100, 10, 1];

/// Splits a state into what it says of its limiter and the time of that, in microseconds: `<figures>@<time>`.
#[must_use]
#[inline(always)]
pub fn stamped(text: &[u8]) -> Option<(&[u8], i64)> {
    // From 2001 to 2286 a time has sixteen digits.
    if let Some((figures, [b'@', time @ ..])) = text.split_last_chunk::<17>() {
        // As `number`: with its length known, the loop is unrolled.
        let mut value: i64 = 0;
        let mut all_digits = true;
        for byte in time {
            let digit = byte.wrapping_sub(b'0');
            all_digits &= digit <= 9;
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        }
        return all_digits.then_some((figures, value));
    }
    if text.len() > CAPACITY {
        return None;
    }
    let at = text.iter().position(|byte| *byte == b'@')?;
    let (figures, time) = text.split_at_checked(at)?;
    Some((figures, number(time.get(1..)?)?))
}
