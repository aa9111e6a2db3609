//! How many names are said in one sentence.

/// Names that are said before the others are only counted.
const NAMES_SHOWN: usize = 5;

/// The first of the names, and how many more there are.
pub fn some_names(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).copied().collect();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_five_are_named_and_the_others_counted() {
        assert_eq!(some_names(&["a", "b", "c", "d", "e"]), "a, b, c, d, e");
        assert_eq!(some_names(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
