//! Keeps secrets in addresses from being shown.

use millstream_control::Changes;
use millstream_model::view::TenantRow;
use serde_json::Value;

/// What stands in place of a secret.
const MASK: &str = "***";

/// The tenant without the secrets in its database's address.
pub(crate) fn masked(mut row: TenantRow) -> TenantRow {
    row.tenant.database_url = row.tenant.database_url.as_deref().map(masked_url);
    row
}

/// The changes without the secrets in what they show.
pub(crate) fn masked_changes(mut changes: Changes) -> Changes {
    for change in &mut changes.things {
        for field in &mut change.fields {
            let parts: Vec<&str> = field.field.split('.').collect();
            let (name, above) = parts.split_last().map_or(("", &[][..]), |(n, above)| (*n, above));
            for side in [&mut field.before, &mut field.after] {
                mask_value(name, above.contains(&"env"), side);
            }
        }
    }
    changes
}

/// Masks `value`, which stands under `name`, and everything in it.
fn mask_value(name: &str, in_env: bool, value: &mut Value) {
    match value {
        Value::String(text) if name == "url" || name == "database_url" => *text = masked_url(text),
        Value::String(text) if in_env && is_secret(name) => MASK.clone_into(text),
        Value::Object(map) => {
            for (key, inner) in map {
                mask_value(key, in_env || name == "env", inner);
            }
        }
        _ => {}
    }
}

/// Whether a name is that of something secret.
fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["pass", "secret", "token", "key"].iter().any(|word| lower.contains(word))
}

/// `url` without its password and without the values of parameters that name a secret.
pub(crate) fn masked_url(url: &str) -> String {
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (url, None),
    };
    let mut shown = match base.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", masked_authority(rest)),
        None => masked_words(base),
    };
    if let Some(query) = query {
        shown.push('?');
        shown.push_str(&query.split('&').map(masked_pair).collect::<Vec<_>>().join("&"));
    }
    shown
}

fn masked_authority(rest: &str) -> String {
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(a, p)| (a, Some(p)));
    // The password may hold an `@` of its own, the host cannot.
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:{MASK}@{host}"),
            None => format!("{user}@{host}"),
        },
        None => authority.to_owned(),
    };
    path.map_or(authority.clone(), |path| format!("{authority}/{path}"))
}

/// A connection text of `key=value` words.
fn masked_words(text: &str) -> String {
    text.split(' ').map(masked_pair).collect::<Vec<_>>().join(" ")
}

fn masked_pair(pair: &str) -> String {
    let Some((key, _)) = pair.split_once('=') else { return pair.to_owned() };
    if is_secret(key) { format!("{key}={MASK}") } else { pair.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_neither_passwords_nor_secret_variables() {
        let field = |field: &str, before: Value| serde_json::json!({ "field": field, "before": before, "after": null });
        let changes = serde_json::json!({ "stale": [], "retimed": [], "things": [{
            "kind": "tenants", "name": "a", "change": "changed", "fields": [
                field("database_url", "postgres://app:s3cret@db/x".into()),
                field("step.env.API_TOKEN", "s3cret".into()),
                field("step", serde_json::json!({ "env": { "API_TOKEN": "s3cret", "LEVEL": "3" } })),
            ],
        }]});
        let shown = masked_changes(serde_json::from_value(changes).unwrap());
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("s3cret") && text.contains("\"LEVEL\":\"3\""), "{text}");
    }

    #[test]
    fn passwords_do_not_show_wherever_an_address_may_hold_them() {
        for (url, shown) in [
            ("postgres://app:s3cret@db/x", "postgres://app:***@db/x"),
            (
                "postgres://app:a@b@db:5432/x?sslmode=require",
                "postgres://app:***@db:5432/x?sslmode=require",
            ),
            ("postgres://db/x?password=s3cret", "postgres://db/x?password=***"),
            ("host=db user=app password=s3cret", "host=db user=app password=***"),
            ("sqlite:data/jfk.db", "sqlite:data/jfk.db"),
        ] {
            assert_eq!(masked_url(url), shown);
        }
    }
}
