//! Addresses made of parts, so that no part can become another.

use reqwest::Url;

use crate::{OutboundError, shown_url};

/// The parts of an address.
#[derive(Debug, Clone, Copy)]
pub struct Located<'a> {
    /// What it begins with: scheme, host and perhaps a path.
    pub base: &'a str,
    /// What follows: nothing, or a path that begins with `/`, with its values percent-encoded.
    pub path: &'a str,
    /// The parameters of the query, as they are.
    pub query: &'a [(String, String)],
}

/// The address that `parts` make: always on the host of the base and below its path.
pub fn located(parts: Located<'_>) -> Result<String, OutboundError> {
    let Located { base, path, query } = parts;
    let invalid = |problem: String| OutboundError::Invalid { url: shown_url(base), problem };
    let start: Url = base.parse().map_err(|error| invalid(format!("{error}")))?;
    if !start.username().is_empty() || start.password().is_some() {
        return Err(invalid("it holds credentials, which belong into `auth`".to_owned()));
    }
    if !path.is_empty() && !path.starts_with('/') {
        return Err(invalid(format!("the path {path:?} does not begin with `/`")));
    }
    if path.contains(['?', '#']) {
        return Err(invalid("the path has a `?` or `#`; write the parameters as `query`".into()));
    }
    let prefix = start.path().trim_end_matches('/');
    let mut url = start.clone();
    if !path.is_empty() {
        url.set_path(&format!("{prefix}{path}"));
    }
    let is_below = url
        .path()
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !is_below {
        return Err(invalid(format!("the path {path:?} leads out of it")));
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url.into())
}

/// The address of the page after `current` in its answer's `Link` header: `None` without one.
pub fn next_page(current: &str, link: &str) -> Result<Option<String>, OutboundError> {
    let Some(target) = links(link).find_map(|(target, is_next)| is_next.then_some(target)) else {
        return Ok(None);
    };
    let invalid = |problem: String| OutboundError::Invalid { url: shown_url(current), problem };
    let from: Url = current.parse().map_err(|error| invalid(format!("{error}")))?;
    let next = from.join(target).map_err(|error| invalid(format!("its next page: {error}")))?;
    if next.origin() != from.origin() {
        let place = shown_url(next.as_str());
        return Err(OutboundError::Refused {
            url: shown_url(current),
            reason: format!("its next page is on another host ({place})"),
        });
    }
    Ok(Some(next.into()))
}

/// The links of a `Link` header, each with whether it is the next page.
fn links(header: &str) -> impl Iterator<Item = (&str, bool)> {
    header.split('<').skip(1).filter_map(|part| {
        let (target, params) = part.split_once('>')?;
        let is_next = params.split([';', ',']).any(|param| {
            let Some((name, value)) = param.split_once('=') else { return false };
            name.trim().eq_ignore_ascii_case("rel")
                && value
                    .trim()
                    .trim_matches('"')
                    .split_ascii_whitespace()
                    .any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        Some((target, is_next))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base: &str, path: &str) -> Result<String, OutboundError> {
        located(Located { base, path, query: &[("a b".to_owned(), "&=é".to_owned())] })
    }

    #[test]
    fn a_path_stays_below_its_base_and_a_value_stays_a_value() {
        let wanted = "https://cube.example/v1/load?a+b=%26%3D%C3%A9";
        assert_eq!(at("https://cube.example/v1/", "/load").unwrap(), wanted);
        assert_eq!(at("https://cube.example/v1", "").unwrap(), wanted.replace("/load", ""));
        for path in ["/../admin", "/%2e%2e/admin", "@evil.example", "/a?b", "/a#b", "load"] {
            assert!(at("https://cube.example/v1", path).is_err(), "{path}");
        }
        assert!(at("https://ana:pw@cube.example", "/load").is_err());
        assert!(at("https://cube.example", "/../load").is_ok(), "there is nothing above it");
    }

    #[test]
    fn the_next_page_is_the_link_that_says_so_on_the_same_host() {
        let next = |link| next_page("https://api.example/items?page=1", link);
        let github =
            r#"<https://api.example/items?page=9>; rel="last", </items?page=2>; rel="next""#;
        assert_eq!(next(github).unwrap().as_deref(), Some("https://api.example/items?page=2"));
        assert_eq!(next(r#"<?page=1>; rel="prev""#).unwrap(), None);
        assert!(next("<https://evil.example/items>; rel=next").is_err());
        assert!(next("<http://api.example/items>; rel=next").is_err());
    }
}
