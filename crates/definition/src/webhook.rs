//! Sensors of kind `webhook`: who may post, and which header names a delivery.

use millstream_model::{ErrorCode, SensorQuestion, Webhook, WebhookAuth};

use crate::fields::{Field, Fields, one_of};
use crate::finding::Findings;
use crate::keys::sensors::{WEBHOOK_AUTH, WEBHOOK_PROOF};
use crate::secret;

/// The longest name of a header.
const HEADER_MAX: usize = 100;

/// What a sensor of this kind asks.
pub(crate) fn webhook(fields: &Fields<'_>, findings: &mut Findings) -> Option<SensorQuestion> {
    let help = "say who may post: `auth: { hmac: { secret: NAME } }`";
    let auth = fields.need("auth", help, findings).and_then(|field| auth(&field, findings));
    let delivery_id = match fields.get("delivery_id") {
        Some(field) => Some(header(&field, findings)?),
        None => None,
    };
    Some(SensorQuestion::Webhook(Webhook { auth: auth?, delivery_id }))
}

fn auth(field: &Field<'_>, findings: &mut Findings) -> Option<WebhookAuth> {
    let fields = Fields::open(field.node, "webhook's `auth`", WEBHOOK_AUTH.keys, findings)?;
    let given: Vec<Field<'_>> = fields.iter().collect();
    let [kind] = given.as_slice() else {
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, "`auth` must have one kind")
            .help(one_of("", WebhookAuth::KINDS));
        return None;
    };
    let what = format!("`{}`", kind.name);
    let proof = Fields::open(kind.node, &what, WEBHOOK_PROOF.keys, findings)?;
    let secret = secret::named_in(&proof, findings);
    let header = match proof.get("header") {
        Some(field) => Some(header(&field, findings)?),
        None => None,
    };
    let secret = secret?;
    Some(match kind.name {
        "hmac" => {
            let header = header.unwrap_or_else(|| WebhookAuth::HMAC_HEADER.to_owned());
            WebhookAuth::Hmac { secret, header }
        }
        _ => WebhookAuth::Bearer { secret, header },
    })
}

/// The name of a header.
fn header(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.filled(findings)?;
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_name && text.len() <= HEADER_MAX {
        return Some(text);
    }
    let message = format!("`{}` is no name of a header: {text:?}", field.name);
    findings
        .error(ErrorCode::DefinitionValue, field.node.spot, message)
        .help("write it like `X-Hub-Signature-256`");
    None
}
