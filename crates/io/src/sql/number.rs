//! What the fields of a CSV file mean: numbers, texts, and texts that only look like numbers.

/// What a field is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Meaning {
    /// A whole number.
    Whole(i64),
    /// A number with a fraction or an exponent.
    Real(f64),
    /// No number.
    Text,
    /// Something that a database would take for a number, and that would not come back as it was:
    /// a code with leading zeros (`007`), a plus sign, more digits or a larger exponent than a
    /// number holds, the zero with a sign (`-0`), or a code that happens to look like an exponent
    /// (`12E3`).
    Lookalike,
}

impl Meaning {
    /// The meaning of `text`.
    pub(crate) fn of(text: &str) -> Self {
        match text.as_bytes().first() {
            Some(b'0'..=b'9' | b'-' | b'+' | b'.') => {}
            _ => return Self::Text,
        }
        let Some(parts) = Parts::of(text) else { return Self::Text };
        let is_padded = parts.whole.len() > 1 && parts.whole.starts_with('0');
        if text.starts_with('+') || is_padded {
            return Self::Lookalike;
        }
        match (parts.fraction, parts.exponent) {
            (None, None) if text == "-0" => Self::Lookalike,
            (None, None) => text.parse().map_or(Self::Lookalike, Self::Whole),
            (None, Some(exponent)) if !exponent.starts_with(['+', '-']) => Self::Lookalike,
            _ if parts.significant() > REAL_DIGITS => Self::Lookalike,
            _ => match text.parse::<f64>() {
                Ok(real) if real.is_finite() && (real != 0.0 || parts.is_zero()) => {
                    Self::Real(real)
                }
                _ => Self::Lookalike,
            },
        }
    }
}

/// The most digits that a program writes to tell one double from all others.
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

    fn is_zero(&self) -> bool {
        self.significant() == 0
    }

    /// Digits from the first that is not zero.
    fn significant(&self) -> usize {
        let fraction = self.fraction.unwrap_or("");
        let digits = self.whole.len() + fraction.len();
        let both = self.whole.bytes().chain(fraction.bytes());
        digits - both.take_while(|digit| *digit == b'0').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_numbers_and_the_rest_is_text() {
        for (text, meaning) in [
            ("0", Meaning::Whole(0)),
            ("-3", Meaning::Whole(-3)),
            ("9223372036854775807", Meaning::Whole(i64::MAX)),
            ("15.11", Meaning::Real(15.11)),
            ("-0.5", Meaning::Real(-0.5)),
            ("0.0", Meaning::Real(0.0)),
            ("7.0", Meaning::Real(7.0)),
            (".5", Meaning::Real(0.5)),
            ("0.030000000000000002", Meaning::Real(0.030_000_000_000_000_002)),
            ("1e-05", Meaning::Real(1e-5)),
            ("1.5e10", Meaning::Real(1.5e10)),
        ] {
            assert_eq!(Meaning::of(text), meaning, "{text:?}");
        }
        for text in ["", "JFK", "2013-01-01", "-", ".", "1.2.3", "5 kg", "0x1F", "1e", "NaN"] {
            assert_eq!(Meaning::of(text), Meaning::Text, "{text:?}");
        }
    }

    #[test]
    fn codes_that_only_look_like_numbers_are_told_apart() {
        for text in ["007", "-01", "+49", "12E3", "00", "9223372036854775808", "01.5", "-0"] {
            assert_eq!(Meaning::of(text), Meaning::Lookalike, "{text:?}");
        }
        for text in ["3.141592653589793238", "1.5e400", "1e+400", "1.5e-400"] {
            assert_eq!(Meaning::of(text), Meaning::Lookalike, "{text:?}");
        }
        assert_eq!(Meaning::of("1e+9x"), Meaning::Text);
    }
}
