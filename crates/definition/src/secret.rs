//! References to secrets, which stand where a value would and never hold it.

use std::collections::BTreeMap;

use millstream_model::{ErrorCode, SecretRef, TextOrSecret};

use crate::fields::{Field, Fields};
use crate::finding::Findings;
use crate::keys::http::SECRET;
use crate::tree::Value;

/// How a reference is written.
const HELP: &str = "write `{ secret: NAME }`; the value stands in the server's environment";

/// The reference in `field`; reports a value that stands there itself.
pub(crate) fn reference(field: &Field<'_>, findings: &mut Findings) -> Option<SecretRef> {
    if !matches!(field.node.value, Value::Map(_)) {
        let message = format!("`{}` is a secret and must not stand in a file", field.name);
        findings.error(ErrorCode::DefinitionValue, field.node.spot, message).help(HELP);
        return None;
    }
    let what = format!("secret of `{}`", field.name);
    named_in(&Fields::open(field.node, &what, SECRET.keys, findings)?, findings)
}

/// The secret that an object with other keys beside it names.
pub(crate) fn named_in(fields: &Fields<'_>, findings: &mut Findings) -> Option<SecretRef> {
    Some(SecretRef { secret: fields.need("secret", HELP, findings)?.filled(findings)? })
}

/// The entries of an object whose values are texts or references to secrets.
pub(crate) fn texts(field: &Field<'_>, findings: &mut Findings) -> BTreeMap<String, TextOrSecret> {
    let what = format!("`{}` of the resource", field.name);
    let Some(fields) = Fields::any(field.node, &what, findings) else { return BTreeMap::new() };
    let mut texts = BTreeMap::new();
    for entry in fields.iter() {
        let value = match &entry.node.value {
            Value::Map(_) => reference(&entry, findings).map(TextOrSecret::Secret),
            _ => entry.text(findings).map(TextOrSecret::Text),
        };
        texts.extend(value.map(|value| (entry.name.to_owned(), value)));
    }
    texts
}
