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
        let rest = self.bytes.get_mut(self.length..).unwrap_or_default();
        let taken = bytes.len().min(rest.len());
        for (to, from) in rest.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.length = self.length.saturating_add(taken);
        self
    }

    /// Appends a whole number in decimal.
    pub fn number(&mut self, value: i64) -> &mut Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = value.unsigned_abs();
        loop {
            at = at.saturating_sub(1);
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0'.saturating_add((rest % 10) as u8);
            }
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.push(b"-");
        }
        self.push(digits.get(at..).unwrap_or_default())
    }

    /// Appends a figure given in millionths as a decimal without trailing zeros: 26750000 as `26.75`.
    pub fn millionths(&mut self, value: i64) -> &mut Self {
        let value = value.max(0);
        self.number(value / MILLION);
        let mut fraction = value % MILLION;
        if fraction == 0 {
            return self;
        }
        self.push(b".");
        while fraction > 0 {
            let tenfold = fraction.saturating_mul(10);
            self.number(tenfold / MILLION);
            fraction = tenfold % MILLION;
        }
        self
    }
}

const MILLION: i64 = 1_000_000;

/// Splits `text` at its only `separator`.
#[must_use]
pub fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    let (left, right) = text.split_at_checked(at)?;
    Some((left, right.get(1..)?))
}

/// A whole number of 1 to 18 decimal digits.
#[must_use]
pub fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let mut value: i64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 18 digits stay below i64::MAX.
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    Some(value)
}

/// A decimal with at most six digits after the point, in millionths.
#[must_use]
pub fn millionths(text: &[u8]) -> Option<i64> {
    let (whole, fraction) = match split(text, b'.') {
        Some((whole, fraction)) if fraction.len() <= 6 => {
            (whole, number(fraction).map(|n| (n, fraction.len())))
        }
        Some(_) => return None,
        None => (text, Some((0, 6))),
    };
    let (mut fraction, places) = fraction?;
    for _ in places..6 {
        fraction = fraction.saturating_mul(10);
    }
    number(whole)?.checked_mul(MILLION)?.checked_add(fraction)
}
