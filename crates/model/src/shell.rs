//! How a name is written in a command that somebody may copy.
//!
//! Pages, answers and messages that show a command ask it.

/// `text` as one word of a shell's line: quoted where the shell would split or expand it.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_split_or_expand_is_quoted() {
        assert_eq!(shell_word("jfk::day::flights"), "jfk::day::flights");
        assert_eq!(shell_word("a|b c"), "'a|b c'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
