//! Hiding secrets in what others say.

use std::fmt;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// Shorter ones are not hidden: they would tear words apart, and protect nothing.
const LENGTH_MIN: usize = 4;

/// The secrets of one call.
#[derive(Clone, Default)]
pub struct Mask(Vec<String>);

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} secrets)", self.0.len())
    }
}

impl Mask {
    /// Hides `secret` from now on, and the form that it has in JSON.
    pub fn add(&mut self, secret: &str) {
        let json = serde_json::Value::from(secret).to_string();
        let escaped = json.trim_matches('"');
        for form in [secret, escaped] {
            if form.len() >= LENGTH_MIN && self.0.iter().all(|known| known != form) {
                self.0.push(form.to_owned());
            }
        }
        // A longer one first: it may hold a shorter one.
        self.0.sort_by_key(|known| std::cmp::Reverse(known.len()));
    }

    /// `text` without the secrets.
    pub fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_as_it_is_and_as_json_writes_it() {
        let mut mask = Mask::default();
        mask.add("a\"long secret");
        mask.add("a\"long");
        mask.add("pw");
        assert_eq!(
            mask.hide(r#"{"got": "a\"long secret"}, a"long, pw"#),
            r#"{"got": "***"}, ***, pw"#
        );
        assert_eq!(format!("{mask:?}"), "Mask(4 secrets)");
    }
}
