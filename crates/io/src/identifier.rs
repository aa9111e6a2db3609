//! Names of tables and columns in SQL texts, quoted so that no value can leave them.
//!
//! Templates use it as the `identifier` filter; values never pass here, they are bound.

/// Why a text cannot be an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// No database has nameless things.
    #[error("an identifier is empty; the template before `| identifier` gave no text")]
    Empty,
    /// The text has a NUL, which ends a text in both databases.
    #[error("identifier {text:?} has a NUL character")]
    Nul {
        /// The rejected text.
        text: String,
    },
    /// Postgres would cut it off silently, and two names could become one.
    #[error("identifier {text:?} is longer than {IDENTIFIER_MAX} bytes")]
    TooLong {
        /// The rejected text.
        text: String,
    },
}

/// The longest name that Postgres keeps whole.
const IDENTIFIER_MAX: usize = 63;

/// `name` between double quotes, with those inside it doubled, as SQLite and Postgres read it.
pub fn quote_identifier(name: &str) -> Result<String, IdentifierError> {
    if name.is_empty() {
        return Err(IdentifierError::Empty);
    }
    if name.contains('\0') {
        return Err(IdentifierError::Nul { text: name.to_owned() });
    }
    if name.len() > IDENTIFIER_MAX {
        return Err(IdentifierError::TooLong { text: name.to_owned() });
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_quotes_spaces_or_sql_in_it_stays_one_name() {
        for (name, quoted) in [
            ("metric_flights_day", "\"metric_flights_day\""),
            ("a\"; DROP TABLE b; --", "\"a\"\"; DROP TABLE b; --\""),
            ("größe in m²", "\"größe in m²\""),
        ] {
            assert_eq!(quote_identifier(name).as_deref(), Ok(quoted));
        }
    }

    #[test]
    fn a_name_that_a_database_would_cut_off_is_refused() {
        assert_eq!(quote_identifier(""), Err(IdentifierError::Empty));
        assert!(matches!(quote_identifier("a\0b"), Err(IdentifierError::Nul { .. })));
        assert!(quote_identifier(&"x".repeat(63)).is_ok());
        assert!(matches!(quote_identifier(&"x".repeat(64)), Err(IdentifierError::TooLong { .. })));
    }
}
