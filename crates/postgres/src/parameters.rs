//! The text of an address, with the parameters of encryption taken out.
//!
//! The driver reads addresses itself, but knows neither `sslrootcert` nor the modes that check
//! certificates, and refuses what it does not know. So they are taken out before it reads.

use std::ops::Range;

use percent_encoding::percent_decode_str;

/// A parameter of an address: its name, its value, and where both stand.
struct Parameter {
    name: String,
    value: String,
    place: Range<usize>,
}

/// `text` without the parameters in `names`, and the last value of each, in the order of `names`.
pub(crate) fn taken<const N: usize>(text: &str, names: [&str; N]) -> (String, [Option<String>; N]) {
    let found = if is_url(text) { of_url(text) } else { of_words(text) };
    let mut values = [const { None }; N];
    let mut rest = text.to_owned();
    // From the end, so that the places before stay where they are.
    for parameter in found.into_iter().rev() {
        if let Some(index) = names.iter().position(|name| *name == parameter.name) {
            rest.replace_range(parameter.place, "");
            if let Some(value) = values.get_mut(index) {
                value.get_or_insert(parameter.value);
            }
        }
    }
    (rest, values)
}

/// `text` with `name=value` added.
pub(crate) fn added(text: &str, name: &str, value: &str) -> String {
    if is_url(text) {
        let value =
            percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
        let mark = if query_of(text).is_some() { '&' } else { '?' };
        return format!("{text}{mark}{name}={value}");
    }
    let value = value.replace('\\', "\\\\").replace('\'', "\\'");
    format!("{text} {name}='{value}'")
}

/// Whether it is `postgres://…`; otherwise it is `name=value …`.
fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// Where the parameters of a URL begin. A `?` in what stands before the first `@`, a password, is
/// none of theirs.
fn query_of(url: &str) -> Option<usize> {
    let credentials = url.find('@').unwrap_or(0);
    url.get(credentials..)?.find('?').map(|place| credentials + place + 1)
}

fn of_url(url: &str) -> Vec<Parameter> {
    let Some(mut at) = query_of(url) else { return Vec::new() };
    let mut found = Vec::new();
    for part in url.get(at..).unwrap_or_default().split('&') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        // With the `&` behind it, so that what is left is still a list.
        let end = (at + part.len() + 1).min(url.len());
        found.push(Parameter { name: decoded(name), value: decoded(value), place: at..end });
        at = end;
    }
    found
}

/// The parameters of `name = 'a value' …`; it ends where the text stops being one.
fn of_words(text: &str) -> Vec<Parameter> {
    let mut found = Vec::new();
    let mut letters = text.char_indices().peekable();
    loop {
        while letters.next_if(|(_, letter)| letter.is_whitespace()).is_some() {}
        let Some((start, _)) = letters.peek().copied() else { return found };
        let mut name = String::new();
        while let Some((_, letter)) =
            letters.next_if(|(_, letter)| *letter != '=' && !letter.is_whitespace())
        {
            name.push(letter);
        }
        while letters.next_if(|(_, letter)| letter.is_whitespace()).is_some() {}
        if letters.next_if(|(_, letter)| *letter == '=').is_none() {
            return found;
        }
        while letters.next_if(|(_, letter)| letter.is_whitespace()).is_some() {}
        let quoted = letters.next_if(|(_, letter)| *letter == '\'').is_some();
        let mut value = String::new();
        while let Some((_, letter)) = letters
            .next_if(|(_, letter)| if quoted { *letter != '\'' } else { !letter.is_whitespace() })
        {
            let escaped = if letter == '\\' { letters.next() } else { None };
            value.push(escaped.map_or(letter, |(_, letter)| letter));
        }
        if quoted && letters.next().is_none() {
            return found;
        }
        let end = letters.peek().map_or(text.len(), |(place, _)| *place);
        found.push(Parameter { name, value, place: start..end });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["sslmode", "sslrootcert"];

    #[track_caller]
    fn check(text: &str, rest: &str, values: [Option<&str>; 2]) {
        let (left, found) = taken(text, NAMES);
        assert_eq!((left.as_str(), found.each_ref().map(Option::as_deref)), (rest, values));
    }

    #[test]
    fn parameters_are_taken_out_of_a_url_wherever_they_stand() {
        check("postgres://a@h/d", "postgres://a@h/d", [None, None]);
        check("postgres://a@h/d?sslmode=require", "postgres://a@h/d?", [Some("require"), None]);
        check(
            "postgresql://a:p%3Fq@h:1/d?connect_timeout=3&sslrootcert=%2Fx%20y.pem&sslmode=verify-ca",
            "postgresql://a:p%3Fq@h:1/d?connect_timeout=3&",
            [Some("verify-ca"), Some("/x y.pem")],
        );
        check(
            "postgres://a:b?c@h/d?sslmode=disable&application_name=x",
            "postgres://a:b?c@h/d?application_name=x",
            [Some("disable"), None],
        );
    }

    #[test]
    fn parameters_are_taken_out_of_a_list_of_words_wherever_they_stand() {
        check("host=h user=a", "host=h user=a", [None, None]);
        check("host=h sslmode=require user=a", "host=h  user=a", [Some("require"), None]);
        check(
            r"password='it\'s sslmode=x' sslrootcert = 'a b.pem'",
            r"password='it\'s sslmode=x' ",
            [None, Some("a b.pem")],
        );
        // The driver says what is wrong with it.
        check("host='h sslmode=x", "host='h sslmode=x", [None, None]);
        check("what is this", "what is this", [None, None]);
    }

    #[test]
    fn what_is_added_is_found_again() {
        for text in ["postgres://a@h/d", "postgres://a@h/d?x=y", "host=h user=a"] {
            let added = added(text, "sslrootcert", r"/it's \ a & b.pem");
            check(&added, taken(&added, NAMES).0.as_str(), [None, Some(r"/it's \ a & b.pem")]);
        }
    }
}
