//! Asset keys and their one written form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of an asset, unique within a tenant: path parts, written with `/` between them.
///
/// A `/` or `\` inside a part is written `\/` and `\\`, as Dagster does (`COMPAT` §1.2).
///
/// **Invariant.** At least one part, and every part is non-empty text without control characters.
/// The ways in are [`FromStr`] and [`AssetKey::from_parts`], so code that holds one never checks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetKey(Vec<String>);

/// Why a text is not an asset key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssetKeyError {
    /// The text, or a part between two slashes, is empty.
    #[error("asset key {text:?} has an empty part; write it like `sales/orders`")]
    EmptyPart {
        /// The rejected text.
        text: String,
    },
    /// A part has a control character, which could not be shown or logged.
    #[error("asset key {text:?} has the control character {character:?}")]
    ControlCharacter {
        /// The rejected text.
        text: String,
        /// The offending character.
        character: char,
    },
    /// A part is `.` or `..`, which would leave the folder of an IO manager.
    #[error("asset key {text:?} has the part {part:?}, which is a folder's own name")]
    DotPart {
        /// The rejected text.
        text: String,
        /// The offending part.
        part: String,
    },
}

impl AssetKey {
    /// The key with these parts.
    pub fn from_parts(parts: Vec<String>) -> Result<Self, AssetKeyError> {
        let text = || parts.join("/");
        if parts.is_empty() || parts.iter().any(String::is_empty) {
            return Err(AssetKeyError::EmptyPart { text: text() });
        }
        for part in &parts {
            if let Some(character) = part.chars().find(|c| c.is_control()) {
                return Err(AssetKeyError::ControlCharacter { text: text(), character });
            }
            if part == "." || part == ".." {
                return Err(AssetKeyError::DotPart { text: text(), part: part.clone() });
            }
        }
        Ok(Self(parts))
    }

    /// The path parts, unescaped.
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for AssetKey {
    type Err = AssetKeyError;

    fn from_str(text: &str) -> Result<Self, AssetKeyError> {
        let mut parts = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '/' => parts.push(String::new()),
                '\\' => {
                    if let Some(part) = parts.last_mut() {
                        part.push(characters.next().unwrap_or('\\'));
                    }
                }
                other => {
                    if let Some(part) = parts.last_mut() {
                        part.push(other);
                    }
                }
            }
        }
        Self::from_parts(parts)
    }
}

impl TryFrom<String> for AssetKey {
    type Error = AssetKeyError;

    fn try_from(text: String) -> Result<Self, AssetKeyError> {
        text.parse()
    }
}

impl From<AssetKey> for String {
    fn from(key: AssetKey) -> String {
        key.to_string()
    }
}

impl fmt::Display for AssetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            for character in part.chars() {
                if matches!(character, '/' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_inside_a_part_survive_the_written_form() {
        let key = AssetKey::from_parts(vec!["a/b".into(), "c\\d".into()]).unwrap();
        assert_eq!(key.to_string(), r"a\/b/c\\d");
        assert_eq!(key.to_string().parse::<AssetKey>().unwrap(), key);
    }

    #[test]
    fn empty_parts_dots_and_control_characters_are_refused() {
        for text in ["", "/", "a//b", "a/", "../a", "a/.", "a\nb"] {
            assert!(text.parse::<AssetKey>().is_err(), "{text:?} was accepted");
        }
    }
}
