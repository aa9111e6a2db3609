//! JSON from elsewhere, of which no digit is lost.
//!
//! Called wherever a program's or a service's JSON is read. A number that 64 bits would change
//! becomes text; what is written by this program itself needs none of it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

/// JSON as it was read.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(from = "Value")]
pub struct ExactJson {
    /// The value, in which numbers that would change are text.
    pub value: Value,
    /// Which numbers those are, as a line for the step's log.
    pub note: Option<String>,
}

impl From<Value> for ExactJson {
    fn from(value: Value) -> Self {
        Self { value, note: None }
    }
}

impl ExactJson {
    /// Reads `json`.
    pub fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let (quoted, note) = numbers_kept(json);
        // An error names the place in what was written.
        let value =
            serde_json::from_slice(&quoted).or_else(|_| serde_json::from_slice::<Value>(json))?;
        Ok(Self { value, note })
    }
}

/// A number of fewer characters is one of 64 bits, or the nearest.
const SHORT_MAX: usize = 17;

/// `json` with the numbers that would change in quotes, and the line that tells of them.
pub fn numbers_kept(json: &[u8]) -> (Cow<'_, [u8]>, Option<String>) {
    let mut quoted: Vec<u8> = Vec::new();
    let mut copied = 0;
    let mut first = None;
    let mut count = 0_u64;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        let rest = json.get(at..).unwrap_or_default();
        let length = match byte {
            b'"' => text_length(rest),
            b'-' | b'0'..=b'9' => rest.iter().take_while(|byte| is_of_number(**byte)).count(),
            _ => 1,
        };
        let token = rest.get(..length).unwrap_or_default();
        if length > SHORT_MAX
            && *byte != b'"'
            && let Some(number) = changed(token)
        {
            quoted.extend_from_slice(json.get(copied..at).unwrap_or_default());
            quoted.push(b'"');
            quoted.extend_from_slice(token);
            quoted.push(b'"');
            copied = at + length;
            first.get_or_insert_with(|| number.chars().take(SHOWN_MAX).collect::<String>());
            count += 1;
        }
        at += length;
    }
    let Some(first) = first else { return (Cow::Borrowed(json), None) };
    quoted.extend_from_slice(json.get(copied..).unwrap_or_default());
    let others = match count {
        1 => String::new(),
        more => format!(", and {} more like it", more - 1),
    };
    let note = format!(
        "{first} is kept as text, because it has more digits than a number of 64 bits{others}"
    );
    (Cow::Owned(quoted), Some(note))
}

/// The most characters of a number that the log shows.
const SHOWN_MAX: usize = 60;

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// How long the text is that `json` begins with, with its quotes.
fn text_length(json: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = json.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

/// The number `token` if 64 bits would change it. One with an exponent is a double's own form.
fn changed(token: &[u8]) -> Option<&str> {
    let number = std::str::from_utf8(token).ok()?;
    let digits = number.strip_prefix('-').unwrap_or(number);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let is_padded = whole.len() > 1 && whole.starts_with('0');
    if !is_digits(whole) || is_padded || !fraction.is_none_or(is_digits) {
        return None;
    }
    let is_kept = match fraction {
        None => number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok(),
        // What prints doubles with more digits than they have prints these.
        Some(fraction) => {
            let places = fraction.len();
            let same = |real: f64| format!("{real:.places$}") == number;
            places <= PLACES_MAX && number.parse::<f64>().is_ok_and(same)
        }
    };
    (!is_kept && (fraction.is_none() || significant(digits) > DOUBLE_DIGITS)).then_some(number)
}

/// The most digits that tell one double from all others.
const DOUBLE_DIGITS: usize = 17;

/// The most digits that a double has behind its point.
const PLACES_MAX: usize = 1_074;

/// How many digits `number` has from the first that is not zero.
fn significant(number: &str) -> usize {
    let digits = number.bytes().filter(u8::is_ascii_digit);
    digits.skip_while(|digit| *digit == b'0').count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_that_64_bits_would_change_becomes_text_and_is_told() {
        let read = ExactJson::read(
            br#"[{"a": 1180591620717411303424, "b": -9223372036854775809}, 1234567890123456789.25]"#,
        )
        .unwrap();
        let wanted = json!([
            { "a": "1180591620717411303424", "b": "-9223372036854775809" },
            "1234567890123456789.25"
        ]);
        assert_eq!(read.value, wanted);
        let note = read.note.unwrap();
        assert!(note.starts_with("1180591620717411303424 is kept as text, because"), "{note}");
        assert!(note.ends_with(", and 2 more like it"), "{note}");
    }

    #[test]
    fn all_other_json_stays_as_it_is() {
        for json in [
            r#"{"1180591620717411303424": "1180591620717411303424 \" 1180591620717411303424"}"#,
            "[18446744073709551615, -9223372036854775808, 0.1, -0.0]",
            // Doubles, however many digits they were written with.
            "[12.50000000000000000000, 0.10000000000000000555, 100000000000000000000.000000]",
            "[0.30000000000000004, 1.2345678901234567e+29, 2.2250738585072014e-308]",
            r#""\\", 1"#,
            "",
        ] {
            assert_eq!(numbers_kept(json.as_bytes()), (Cow::Borrowed(json.as_bytes()), None));
        }
        // What is no JSON does not become some.
        for wrong in
            ["[0071180591620717411303424]", "[1180591620717411303424", "[1.1.1180591620717]"]
        {
            assert!(ExactJson::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
