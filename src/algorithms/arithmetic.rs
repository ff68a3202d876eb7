//! Multiplication and division that neither overflow nor panic.

/// `factor * other / divisor` and its remainder, for numbers that are not negative.
///
/// A quotient beyond `i64` saturates. Most products fit 64 bits, where a division is one instruction instead of a
/// hundred.
pub fn mul_div(factor: i64, other: i64, divisor: i64) -> (i64, i64) {
    let (quotient, remainder) = divided(factor, other, divisor);
    (saturated(quotient), remainder.cast_signed())
}

/// `factor * other / divisor` rounded up, for numbers that are not negative; a quotient beyond `i64` saturates.
pub fn mul_div_ceil(factor: i64, other: i64, divisor: i64) -> i64 {
    let (quotient, remainder) = divided(factor, other, divisor);
    saturated(quotient.saturating_add(u64::from(remainder > 0)))
}

fn divided(factor: i64, other: i64, divisor: i64) -> (u64, u64) {
    let (factor, other, divisor) = (factor.cast_unsigned(), other.cast_unsigned(), divisor.cast_unsigned());
    let Some(product) = factor.checked_mul(other) else {
        return divided_wide(factor, other, divisor);
    };
    match (product.checked_div(divisor), product.checked_rem(divisor)) {
        (Some(quotient), Some(remainder)) => (quotient, remainder),
        _ => (u64::MAX, 0),
    }
}

#[cold]
fn divided_wide(factor: u64, other: u64, divisor: u64) -> (u64, u64) {
    let product = u128::from(factor).saturating_mul(other.into());
    let narrow = |wide: Option<u128>| wide.and_then(|wide| u64::try_from(wide).ok());
    let (quotient, remainder) = (product.checked_div(divisor.into()), product.checked_rem(divisor.into()));
    (narrow(quotient).unwrap_or(u64::MAX), narrow(remainder).unwrap_or(0))
}

fn saturated(value: u64) -> i64 {
    value.min(i64::MAX.cast_unsigned()).cast_signed()
}
