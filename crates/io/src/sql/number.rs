//! Which texts of a CSV file keep their meaning when a database reads them as numbers.

/// Whether `text` is the same thing to its author as a number that a database makes of it.
///
/// A text that is no number at all stays text anyway and counts as kept. What loses: codes with
/// leading zeros (`007`), a plus sign, more digits than a number holds, and a code that happens to
/// look like an exponent (`12E3`).
pub(super) fn survives(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'0'..=b'9' | b'-' | b'+' | b'.') => {}
        _ => return true,
    }
    let Some(number) = Parts::of(text) else { return true };
    if text.starts_with('+') {
        return false;
    }
    if number.whole.len() > 1 && number.whole.starts_with('0') {
        return false;
    }
    let digits = number.whole.len() + number.fraction.map_or(0, str::len);
    match (number.fraction, number.exponent) {
        (None, None) => digits <= INTEGER_DIGITS,
        (None, Some(exponent)) => exponent.starts_with(['+', '-']) && digits <= REAL_DIGITS,
        (Some(_), _) => digits <= REAL_DIGITS,
    }
}

/// Digits that every 64-bit integer can hold.
const INTEGER_DIGITS: usize = 18;
/// Digits that a double keeps through text and back, with the last one uncertain.
const REAL_DIGITS: usize = 17;

struct Parts<'a> {
    whole: &'a str,
    fraction: Option<&'a str>,
    exponent: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// The parts of `text` if it is a decimal number.
    fn of(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let any = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
        let power = |text: &str| {
            let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
            !unsigned.is_empty() && digits(unsigned)
        };
        let is_number =
            any && digits(whole) && fraction.is_none_or(digits) && exponent.is_none_or(power);
        is_number.then_some(Self { whole, fraction, exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_plain_texts_survive() {
        for text in [
            "",
            "0",
            "7",
            "-3",
            "15.11",
            "-0.5",
            ".5",
            "1545",
            "JFK",
            "2013-01-01",
            "1e-05",
            "1.5e10",
            "1e+16",
            "-",
            "1.2.3",
            "0.1234567890123456",
            "123456789012345678",
            "5 kg",
        ] {
            assert!(survives(text), "{text:?} would be read as text");
        }
    }

    #[test]
    fn codes_that_only_look_like_numbers_do_not() {
        for text in ["007", "-01", "+49", "12E3", "00", "12345678901234567890", "01.5"] {
            assert!(!survives(text), "{text:?} would lose as a number");
        }
    }
}
