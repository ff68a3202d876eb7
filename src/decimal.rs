//! Whole numbers written in decimal, eight digits at a time: every call writes a few.

/// Room for the longest number, in whole eights: the first is written as a whole, however few digits it has.
pub const ROOM: usize = 24;

/// Numbers below this have at most eight digits.
pub const EIGHT_DIGITS: u64 = 100_000_000;

/// Eight times the character 0.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Writes `value` to the beginning of `place`, and answers how many digits it has: 1 to 20. What follows them there is
/// undefined.
#[inline(always)]
pub fn write(value: u64, place: &mut [u8; ROOM]) -> usize {
    // Many are 0 or 1.
    if value < 10 {
        let [first, ..] = place;
        *first = b'0'.wrapping_add(value.to_le_bytes()[0]);
        1
    } else if value < EIGHT_DIGITS {
        write_short(value, place)
    } else {
        write_long(value, place)
    }
}

/// Numbers of up to eight digits.
#[inline(always)]
fn write_short(value: u64, place: &mut [u8; ROOM]) -> usize {
    let digits = to_eight_digits(value);
    let zeros = (digits.trailing_zeros() / 8).min(7);
    put(digits >> zeros.wrapping_mul(8), place, 0);
    8_u32.wrapping_sub(zeros) as usize
}

/// Longer ones.
fn write_long(value: u64, place: &mut [u8; ROOM]) -> usize {
    let (upper, lower) = (value / EIGHT_DIGITS, value % EIGHT_DIGITS);
    let length = if upper < EIGHT_DIGITS {
        write_short(upper, place)
    } else {
        let length = write_short(upper / EIGHT_DIGITS, place);
        put(to_eight_digits(upper % EIGHT_DIGITS), place, length);
        length.wrapping_add(8)
    };
    put(to_eight_digits(lower), place, length);
    length.wrapping_add(8)
}

/// Writes eight digits, one in each byte, to a position where they have room.
#[inline(always)]
fn put(digits: u64, place: &mut [u8; ROOM], at: usize) {
    if let Some(place) = place.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = characters(digits);
    }
}

/// The characters of eight digits, one in each byte, the first the lowest.
#[must_use]
#[inline(always)]
pub fn characters(digits: u64) -> [u8; 8] {
    (digits | ZEROS).to_le_bytes()
}

/// The eight decimal digits of a number below [`EIGHT_DIGITS`], one in each byte, the first the lowest: halved to fours,
/// to pairs, to digits, each by a multiplication and a shift.
/// (The reverse of D. Lemire, "Quickly parsing eight digits", 2018.)
#[must_use]
#[inline(always)]
pub fn to_eight_digits(value: u64) -> u64 {
    // What a half of a pair is divided by, as a multiplication and a shift: exact for what halves can be.
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = (fours.wrapping_mul(5243) >> 19) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (fours.wrapping_sub(hundreds.wrapping_mul(100)) << 16);
    let tens = (pairs.wrapping_mul(103) >> 10) & 0x000f_000f_000f_000f;
    tens | (pairs.wrapping_sub(tens.wrapping_mul(10)) << 8)
}
