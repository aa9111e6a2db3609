//! The values of secrets, which definitions name and nothing shows.

use std::collections::BTreeMap;
use std::fmt;

/// What the variable of a secret begins with.
const PREFIX: &str = "MILLSTREAM_SECRET_";

/// The secrets that a process was given, by the variables that hold them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// Takes the variable `name`, if it is a secret's.
    pub fn take(&mut self, name: &str, value: String) {
        if name.starts_with(PREFIX) {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// The value of the secret called `name`; without one, the variable that should hold it.
    pub fn get(&self, name: &str) -> Result<&str, String> {
        let variable = variable_name(PREFIX, name);
        self.0.get(&variable).map(String::as_str).ok_or(variable)
    }
}

/// The variable that begins with `prefix` and goes on with `name`, in the letters that variables
/// have: the secret `snowflake/jfk` is in `MILLSTREAM_SECRET_SNOWFLAKE_JFK`.
pub fn variable_name(prefix: &str, name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    let upper: String = letters.map(|c| c.to_ascii_uppercase()).collect();
    format!("{prefix}{upper}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_its_name_and_only_its_name_is_shown() {
        let mut secrets = Secrets::default();
        secrets.take("MILLSTREAM_SECRET_SNOWFLAKE_JFK", "s3cret".to_owned());
        secrets.take("PATH", "/bin".to_owned());
        assert_eq!(secrets.get("snowflake/jfk"), Ok("s3cret"));
        assert_eq!(secrets.get("cube-token"), Err("MILLSTREAM_SECRET_CUBE_TOKEN".to_owned()));
        assert_eq!(format!("{secrets:?}"), r#"{"MILLSTREAM_SECRET_SNOWFLAKE_JFK"}"#);
    }
}
