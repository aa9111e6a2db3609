//! How numbers, sizes, durations and times are written for people.
//!
//! Pure: `now` is an argument. Lists show the short form; the exact value stands in `title`.

use std::fmt;
use std::time::Duration;

use askama::filters::HtmlSafe;
use millstream_model::Timestamp;

/// A whole number with separators: `349,913`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with a fraction: as many decimals as say something.
pub fn decimal(number: f64) -> String {
    if !number.is_finite() {
        return number.to_string();
    }
    let sign = if number < 0.0 { "−" } else { "" };
    let size = number.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-3) {
        return format!("{sign}{size:.2e}");
    }
    let decimals = if size >= 1_000.0 {
        1
    } else if size >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{size:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A size in the units in which limits are written: `30.4 MiB`.
pub fn bytes(size: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (bits, name) in UNITS {
        let whole = size >> bits;
        if whole > 0 {
            let tenth = ((size >> (bits - 10)) % 1_024) * 10 / 1_024;
            return format!("{}.{tenth} {name}", count(whole));
        }
    }
    format!("{size} B")
}

/// How long something took: `85ms`, `0.6s`, `16s`, `2m04`, `1h05`, `3d 4h`.
pub fn took(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 if millis < 100 => format!("{millis}ms"),
        0..10 => format!("{seconds}.{}s", millis % 1_000 / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// How far `at` is from `now`, in one unit: `12m ago`, `in 3h`, `now`.
pub fn relative(now: Timestamp, at: Timestamp) -> String {
    let (distance, ahead) = if at > now { (at.since(now), true) } else { (now.since(at), false) };
    let seconds = distance.as_secs();
    let text = match seconds {
        0 => return "now".to_owned(),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    };
    if ahead { format!("in {text}") } else { format!("{text} ago") }
}

/// The point in time with its zone: `2026-11-19 09:29:31 UTC`.
pub fn absolute(at: Timestamp) -> String {
    at.to_jiff().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The time of day in UTC: `09:29`.
pub fn time_of_day(at: Timestamp) -> String {
    at.to_jiff().strftime("%H:%M").to_string()
}

/// `one` or `many` after its number: `1 step`, `2 steps`.
pub fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `text` shortened in the middle to at most `max` characters, for keys whose ends differ.
pub fn middle(text: &str, max: usize) -> String {
    let length = text.chars().count();
    if length <= max {
        return text.to_owned();
    }
    let tail = max / 2;
    let head = max.saturating_sub(tail + 1);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(length - tail).collect();
    format!("{start}…{end}")
}

/// The first line of `text`, for one row of a list.
pub fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("")
}

/// A point in time in a page: short to read, exact on hover.
///
/// **Invariant.** Both texts are made of digits, letters and signs that need no escaping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    text: String,
    at: Timestamp,
}

impl Moment {
    /// `at` as its distance from `now`.
    pub fn relative(now: Timestamp, at: Timestamp) -> Self {
        Self { text: relative(now, at), at }
    }

    /// `at` to the second.
    pub fn absolute(at: Timestamp) -> Self {
        Self { text: absolute(at), at }
    }

    /// `at` as the time of day, to the second.
    pub fn clock(at: Timestamp) -> Self {
        Self { text: at.to_jiff().strftime("%H:%M:%S").to_string(), at }
    }
}

impl Moment {
    /// The short text alone, for a sentence.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, at, title) = (&self.text, self.at, absolute(self.at));
        write!(f, r#"<time datetime="{at}" title="{title}">{text}</time>"#)
    }
}

impl HtmlSafe for Moment {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let counts = [0, 999, 1_000, 349_913, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "349,913", "1,234,567"]);
        let sizes = [0, 1_023, 1_024, 31_900_000, 1_342_177_280, 1 << 40].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "30.4 MiB", "1.2 GiB", "1.0 TiB"]);
        let decimals = [0.0, 12.639_07, -0.024_71, 336_776.0, 1_234.56, 1e-9].map(decimal);
        assert_eq!(decimals, ["0", "12.64", "−0.0247", "336,776", "1,234.6", "1.00e-9"]);
    }

    #[test]
    fn durations_keep_the_digits_that_matter() {
        let millis = [0, 85, 640, 16_400, 124_000, 3_900_000, 273_600_000];
        let texts = millis.map(|millis| took(Duration::from_millis(millis)));
        assert_eq!(texts, ["0ms", "85ms", "0.6s", "16s", "2m04", "1h05", "3d 4h"]);
    }

    #[test]
    fn times_are_distances_with_the_exact_point_on_hover() {
        let now = Timestamp::from_micros(1_763_544_600_000_000);
        let later = |seconds| now.after(Duration::from_secs(seconds));
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative(later(720), now), "12m ago");
        assert_eq!(relative(now, later(10_800)), "in 3h");
        assert_eq!(relative(later(200_000), now), "2d ago");
        assert_eq!(
            Moment::relative(later(720), now).to_string(),
            r#"<time datetime="2025-11-19T09:30:00Z" title="2025-11-19 09:30:00 UTC">12m ago</time>"#
        );
    }

    #[test]
    fn a_long_key_keeps_both_ends() {
        assert_eq!(middle("jfk::day::flights", 40), "jfk::day::flights");
        assert_eq!(middle("tenant_a::day::metric_revenue", 15), "tenant_…revenue");
    }
}
