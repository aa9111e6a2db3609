//! Under which name the store has what a schedule or a sensor has done.
//!
//! Pure: `control` knows what is stored. A daemon gives what is stored its new name by this rule,
//! and until one has done so, whoever shows it looks where the rule says.

/// The name under which is stored what a thing has, which is called so now and was called so
/// before: the old one, where nothing is stored under the new one yet and no other thing is called
/// like that.
pub fn stored_as<'a>(
    (name, before): (&'a str, Option<&'a str>),
    is_stored: impl Fn(&str) -> bool,
    is_declared: impl Fn(&str) -> bool,
) -> &'a str {
    match before {
        Some(before) if !is_stored(name) && is_stored(before) && !is_declared(before) => before,
        _ => name,
    }
}

/// Who could take over what a thing has done that is in no file any more and was called `before`
/// earlier: what is called so again, where nothing is stored of it. It would have to say that it
/// was called as the thing is.
pub fn heir(
    before: Option<&str>,
    is_stored: impl Fn(&str) -> bool,
    is_declared: impl Fn(&str) -> bool,
) -> Option<&str> {
    before.filter(|name| is_declared(name) && !is_stored(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_name_counts_until_its_history_is_taken_over_or_another_has_it() {
        let found = |before, stored: &[&str], declared: &[&str]| {
            stored_as(("new", before), |it| stored.contains(&it), |it| declared.contains(&it))
        };
        let old = Some("old");
        assert_eq!(found(old, &["old"], &["new"]), "old");
        assert_eq!(found(None, &["old"], &["new"]), "new", "nobody says that it was called so");
        assert_eq!(found(old, &["old", "new"], &["new"]), "new", "it has a history of its own");
        assert_eq!(found(old, &[], &["new"]), "new", "there is nothing to take over");
        assert_eq!(found(old, &["old"], &["new", "old"]), "new", "another is called so now");
    }

    #[test]
    fn what_has_its_old_name_again_could_take_over_what_the_new_one_has_done() {
        let found = |before, stored: &[&str], declared: &[&str]| {
            heir(before, |it| stored.contains(&it), |it| declared.contains(&it))
        };
        assert_eq!(found(Some("old"), &["new"], &["old"]), Some("old"));
        assert_eq!(found(None, &["new"], &["old"]), None, "it was never called otherwise");
        assert_eq!(found(Some("old"), &["new"], &["other"]), None, "nothing is called so again");
        assert_eq!(found(Some("old"), &["new", "old"], &["old"]), None, "it has a history");
    }
}
