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

    /// Appends a whole number in decimal.
    pub fn number(&mut self, value: i64) -> &mut Self {
        self.push(itoa::Buffer::new().format(value).as_bytes())
    }

    /// Appends a figure given in millionths as a decimal without trailing zeros: 26750000 as `26.75`.
    pub fn millionths(&mut self, value: i64) -> &mut Self {
        let value = value.max(0);
        self.number(value / MILLION);
        let mut rest = value % MILLION;
        if rest > 0 {
            self.byte(b'.');
        }
        while rest > 0 {
            let tenfold = rest.saturating_mul(10);
            self.byte(b'0'.saturating_add((tenfold / MILLION) as u8));
            rest = tenfold % MILLION;
        }
        self
    }
}

const MILLION: i64 = 1_000_000;

/// Splits `text` at its first `separator`.
#[must_use]
pub fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    let (left, right) = text.split_at_checked(at)?;
    Some((left, right.get(1..)?))
}

/// A whole number of 1 to 18 decimal digits.
#[must_use]
#[inline]
pub fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let mut value: u64 = 0;
    let (eights, rest) = text.as_chunks::<8>();
    // 18 digits stay below i64::MAX.
    for eight in eights {
        value = value.wrapping_mul(100_000_000).wrapping_add(eight_digits(*eight)?);
    }
    for byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    i64::try_from(value).ok()
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
pub fn millionths(text: &[u8]) -> Option<i64> {
    let Some((whole, fraction)) = split(text, b'.') else {
        return number(text)?.checked_mul(MILLION);
    };
    let missing = PLACES.checked_sub(fraction.len())?;
    let fraction = number(fraction)?.checked_mul(10_i64.checked_pow(u32::try_from(missing).ok()?)?)?;
    number(whole)?.checked_mul(MILLION)?.checked_add(fraction)
}

/// Decimal places of a millionth.
const PLACES: usize = 6;
