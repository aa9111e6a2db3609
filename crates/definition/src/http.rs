//! Resources and steps of kind `http`.

use std::collections::BTreeMap;

use millstream_model::{
    Backoff, ByteSize, CursorPlace, ErrorCode, HttpAuth, HttpBody, HttpMethod, HttpRequest,
    HttpResource, HttpStep, PageBy, Paginate, ResourceDef, RetryWhile, SecretRef,
};

use crate::fields::{Field, Fields, one_of, parsed};
use crate::finding::Findings;
use crate::keys::{KIND, http as keys};
use crate::tree::Value;
use crate::{secret, timing};

/// The most pages that a step can be allowed.
const PAGES_MAX: u32 = 100_000;

const METHODS: &[(&str, HttpMethod)] = &[
    ("GET", HttpMethod::Get),
    ("POST", HttpMethod::Post),
    ("PUT", HttpMethod::Put),
    ("PATCH", HttpMethod::Patch),
    ("DELETE", HttpMethod::Delete),
];

/// The resource in `fields`.
pub(crate) fn resource(fields: &Fields<'_>, findings: &mut Findings) -> Option<ResourceDef> {
    fields.refuse_unknown(&[KIND, keys::RESOURCE], findings);
    let help = "write what every address begins with: `https://api.example.com/v1`";
    let base_url = fields.need("base_url", help, findings).and_then(|it| base_url(&it, findings));
    let auth = fields.get("auth").and_then(|it| auth(&it, findings));
    let headers = fields.get("headers").map(|it| secret::texts(&it, findings));
    let query = fields.get("query").map(|it| secret::texts(&it, findings));
    let timeout = timing::timeout(fields, findings);
    Some(ResourceDef::Http(HttpResource {
        base_url: base_url?,
        auth,
        headers: headers.unwrap_or_default(),
        query: query.unwrap_or_default(),
        timeout,
    }))
}

fn base_url(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.filled(findings)?;
    let starts_with_template = text.starts_with("{{");
    let rest = text.strip_prefix("https://").or(text.strip_prefix("http://"));
    if rest.is_none() && !starts_with_template {
        let message = "`base_url` must begin with `https://` or `http://`";
        findings.error(ErrorCode::DefinitionValue, field.node.spot, message);
        return None;
    }
    let host = rest.unwrap_or_default().split('/').next().unwrap_or_default();
    if host.contains('@') {
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, "`base_url` holds credentials")
            .help("write them as `auth: { basic: { user: NAME, password: { secret: NAME } } }`");
        return None;
    }
    if text.contains(['?', '#']) {
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, "`base_url` holds a query")
            .help("write its parameters as `query: { name: value }`");
        return None;
    }
    Some(text)
}

fn auth(field: &Field<'_>, findings: &mut Findings) -> Option<HttpAuth> {
    let fields = Fields::open(field.node, "resource's `auth`", keys::AUTH.keys, findings)?;
    let given: Vec<Field<'_>> = fields.iter().collect();
    let [kind] = given.as_slice() else {
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, "`auth` must have one kind")
            .help(one_of("", HttpAuth::KINDS));
        return None;
    };
    match kind.name {
        "bearer" => secret::reference(kind, findings).map(HttpAuth::Bearer),
        "basic" => {
            let fields = Fields::open(kind.node, "`basic`", keys::BASIC.keys, findings)?;
            let user = fields.need("user", "write the name", findings)?.filled(findings);
            let help = "write `password: { secret: NAME }`";
            let password = fields.need("password", help, findings)?;
            let password = secret::reference(&password, findings);
            Some(HttpAuth::Basic { user: user?, password: password? })
        }
        "jwt" => jwt(kind, findings),
        _ => None,
    }
}

fn jwt(field: &Field<'_>, findings: &mut Findings) -> Option<HttpAuth> {
    let fields = Fields::open(field.node, "`jwt`", keys::JWT.keys, findings)?;
    let help = "name the key that signs: `jwt: { secret: NAME }`";
    let secret = fields.need("secret", help, findings)?.filled(findings);
    let claims = fields.get("claims").and_then(|it| {
        let fields = Fields::any(it.node, "token's `claims`", findings)?;
        Some(fields.iter().map(|it| (it.name.to_owned(), it.node.json())).collect())
    });
    let ttl = fields.get("ttl").and_then(|it| timing::positive(&it, findings));
    Some(HttpAuth::Jwt {
        secret: SecretRef { secret: secret? },
        claims: claims.unwrap_or_default(),
        ttl: ttl.unwrap_or(HttpAuth::default_ttl()),
    })
}

/// The step in `fields`, whose `resource` stands there.
pub(crate) fn step(
    resource: Option<Field<'_>>,
    fields: &Fields<'_>,
    findings: &mut Findings,
) -> Option<HttpStep> {
    let resource = resource.and_then(|it| it.parsed(findings));
    let rows = fields.get("rows").and_then(|it| pointer(&it, findings));
    let paginate = fields.get("paginate").and_then(|it| {
        if rows.is_none() && fields.get("rows").is_none() {
            findings
                .error(ErrorCode::DefinitionMissingKey, it.name_spot, "`paginate` needs `rows`")
                .help("say where each page has its rows: `rows: /data`");
        }
        paginate(&it, findings)
    });
    let request = match fields.get("request") {
        Some(field) => request(&field, findings),
        None => Some(HttpRequest {
            method: HttpMethod::Get,
            path: String::new(),
            query: BTreeMap::new(),
            headers: BTreeMap::new(),
            body: HttpBody::None,
        }),
    };
    Some(HttpStep {
        resource: resource?,
        request: request?,
        retry_while: fields.get("retry_while").and_then(|it| retry_while(&it, findings)),
        paginate,
        rows,
        max_response: fields
            .get("max_response")
            .and_then(|it| max_response(&it, findings))
            .unwrap_or(HttpStep::default_max_response()),
    })
}

fn request(field: &Field<'_>, findings: &mut Findings) -> Option<HttpRequest> {
    let fields = Fields::open(field.node, "request", keys::REQUEST.keys, findings)?;
    let path = fields.get("path").and_then(|it| path(&it, findings)).unwrap_or_default();
    let bodies: Vec<Field<'_>> =
        ["json", "form", "text"].iter().filter_map(|name| fields.get(name)).collect();
    if let [_, second, ..] = bodies.as_slice() {
        let message = "A request sends one of `json`, `form` and `text`";
        findings.error(ErrorCode::DefinitionValue, second.name_spot, message).help("keep one");
    }
    let body = match bodies.first() {
        None => HttpBody::None,
        Some(body) if body.name == "json" => HttpBody::Json(body.node.json()),
        Some(body) if body.name == "form" => HttpBody::Form(body.text_map(findings)),
        Some(body) => HttpBody::Text(body.text(findings).unwrap_or_default()),
    };
    let method = fields.get("method").and_then(|it| it.choice(METHODS, findings));
    if let (Some(HttpMethod::Get) | None, Some(body)) = (method, bodies.first()) {
        let message = format!("A request that reads sends no `{}`", body.name);
        findings
            .error(ErrorCode::DefinitionValue, body.name_spot, message)
            .help("say how it is sent: `method: POST`");
    }
    Some(HttpRequest {
        method: method.unwrap_or_default(),
        path,
        query: fields.get("query").map(|it| it.text_map(findings)).unwrap_or_default(),
        headers: fields.get("headers").map(|it| it.text_map(findings)).unwrap_or_default(),
        body,
    })
}

fn path(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.text(findings)?;
    let problem = if !text.is_empty() && !text.starts_with(['/', '{']) {
        "must begin with `/`; it follows the resource's `base_url`"
    } else if text.contains(['?', '#']) && !text.contains("{{") {
        "holds a query; write its parameters as `query: { name: value }`"
    } else {
        return Some(text);
    };
    findings.error(ErrorCode::DefinitionValue, field.node.spot, format!("`path` {problem}"));
    None
}

fn pointer(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.text(findings)?;
    if text.is_empty() || text.starts_with('/') {
        return Some(text);
    }
    let message = format!("`{}` must be a JSON pointer, not {text:?}", field.name);
    let help = format!("write `/{}`; an empty text is the whole answer", text.replace('.', "/"));
    findings.error(ErrorCode::DefinitionValue, field.node.spot, message).help(help);
    None
}

fn retry_while(field: &Field<'_>, findings: &mut Findings) -> Option<RetryWhile> {
    let fields = Fields::open(field.node, "`retry_while`", keys::RETRY_WHILE.keys, findings)?;
    let status = fields.get("status").and_then(|it| it.whole(100, 599, findings));
    let json = fields.get("json").map(|it| it.node.json());
    if fields.get("status").is_none() && json.is_none() {
        findings
            .error(
                ErrorCode::DefinitionMissingKey,
                field.node.spot,
                "`retry_while` needs `status` or `json`",
            )
            .help("say which answer is not ready yet: `json: { error: Continue wait }`");
        return None;
    }
    Some(RetryWhile {
        status: status.and_then(|it| u16::try_from(it).ok()),
        json,
        every: fields
            .get("every")
            .and_then(|it| timing::positive(&it, findings))
            .unwrap_or(RetryWhile::default_every()),
        backoff: fields
            .get("backoff")
            .and_then(|it| it.choice(timing::BACKOFFS, findings))
            .unwrap_or(Backoff::Constant),
        max_time: fields.get("max_time").and_then(|it| timing::positive(&it, findings)),
    })
}

fn paginate(field: &Field<'_>, findings: &mut Findings) -> Option<Paginate> {
    let help = "it is one of `page`, `cursor` and `link`";
    if let Value::Text(text) = &field.node.value {
        if text == "link" {
            return Some(Paginate { by: PageBy::Link, max_pages: Paginate::default_max_pages() });
        }
        let message = "`paginate` must be `link` or an object with `by`";
        findings.error(ErrorCode::DefinitionValue, field.node.spot, message).help(help);
        return None;
    }
    let fields = Fields::any(field.node, "`paginate`", findings)?;
    let by = fields.need("by", help, findings)?;
    let by = match by.str(findings)? {
        "page" => {
            fields.refuse_unknown(&[keys::PAGES, keys::PAGES_BY_NUMBER], findings);
            numbered(&fields, findings)
        }
        "cursor" => {
            fields.refuse_unknown(&[keys::PAGES, keys::PAGES_BY_CURSOR], findings);
            cursor(&fields, findings)?
        }
        "link" => {
            fields.refuse_unknown(&[keys::PAGES], findings);
            PageBy::Link
        }
        other => {
            let message = format!("`by` cannot be `{other}`");
            findings
                .error(ErrorCode::DefinitionValue, by.node.spot, message)
                .help(one_of(other, &["page", "cursor", "link"]));
            return None;
        }
    };
    let max_pages = fields.get("max_pages").and_then(|it| it.whole(1, PAGES_MAX, findings));
    Some(Paginate { by, max_pages: max_pages.unwrap_or(Paginate::default_max_pages()) })
}

fn numbered(fields: &Fields<'_>, findings: &mut Findings) -> PageBy {
    let param = fields.get("param").and_then(|it| it.filled(findings));
    let size_param = fields.get("size_param").and_then(|it| it.filled(findings));
    let size = fields.get("size").and_then(|it| it.whole(1, u32::MAX, findings));
    if let (Some(field), None) = (fields.get("size_param"), fields.get("size")) {
        findings
            .error(ErrorCode::DefinitionMissingKey, field.name_spot, "`size_param` needs `size`")
            .help("say how many rows a page has: `size: 100`");
    }
    PageBy::Page {
        param: param.unwrap_or_else(|| "page".to_owned()),
        start: fields.get("start").and_then(|it| it.whole(0, u32::MAX, findings)).unwrap_or(1),
        size,
        size_param,
    }
}

fn cursor(fields: &Fields<'_>, findings: &mut Findings) -> Option<PageBy> {
    let help = "say where an answer names the next page: `next: /meta/next`";
    let next = fields.need("next", help, findings).and_then(|it| pointer(&it, findings));
    let into = match (fields.get("param"), fields.get("body")) {
        (Some(param), None) => param.filled(findings).map(CursorPlace::Param),
        (None, Some(body)) => pointer(&body, findings).map(CursorPlace::Body),
        _ => {
            let message = "Pages by cursor need one of `param` and `body`";
            findings
                .error(ErrorCode::DefinitionValue, fields.spot, message)
                .help("say where the next request has it: `param: after`, or `body: /query/after`");
            None
        }
    };
    Some(PageBy::Cursor { next: next?, into: into? })
}

fn max_response(field: &Field<'_>, findings: &mut Findings) -> Option<ByteSize> {
    let size: ByteSize = match &field.node.value {
        Value::Number(number) => parsed(&number.written, field.node.spot, findings)?,
        _ => field.parsed(findings)?,
    };
    if size.0 == 0 || size > HttpStep::MAX_RESPONSE {
        let message = format!("`max_response` must be at most {}", HttpStep::MAX_RESPONSE);
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("one answer is held in memory; ask for it in pages with `paginate`");
        return None;
    }
    Some(size)
}
