//! How a name becomes one part of a path.
//!
//! Letters, digits, `_`, `-` and inner dots stand for themselves and everything else is `%XX`, so
//! the encoded part is never `.`, `..`, empty or divided by a slash, and two names never meet.

use millstream_model::ContentHash;

/// The longest encoded part; a file name holds 255 bytes, suffixes included.
const PART_MAX: usize = 180;

/// What a shortened part keeps of the name, before its hash.
const KEPT: usize = 100;

/// `name` as one part of a path.
pub(crate) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-')
            || (byte == b'.' && index > 0);
        if plain {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    if encoded.len() <= PART_MAX {
        return encoded;
    }
    // `~` is never plain, so a shortened part is no other name's encoding.
    let kept = encoded.get(..KEPT).unwrap_or_default();
    format!("{kept}~{}", ContentHash::of(name.as_bytes()))
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_slashes_or_dots_cannot_leave_its_folder() {
        assert_eq!(encode("a/b"), "a%2Fb");
        assert_eq!(encode(".."), "%2E.");
        assert_eq!(encode("."), "%2E");
        assert_eq!(encode("part_1-x.y"), "part_1-x.y");
    }

    #[test]
    fn long_names_stay_short_and_apart() {
        let one = encode(&"/".repeat(200));
        let two = encode(&format!("{}x", "/".repeat(199)));
        assert!(one.len() <= PART_MAX && two.len() <= PART_MAX);
        assert_ne!(one, two);
    }
}
