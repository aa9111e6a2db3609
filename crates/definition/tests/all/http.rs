//! Resources and steps of kind `http`: what their keys come to, and what is said of mistakes.

use millstream_model::{
    ByteSize, CursorPlace, HttpAuth, HttpBody, HttpMethod, PageBy, ResourceDef, ResourceName,
    StepConfig, TextOrSecret,
};
use serde_json::json;

use crate::location::check_new;
use crate::{errors, load};

#[test]
fn a_resource_takes_all_its_keys_and_holds_no_secret() {
    let manifest = load(
        "a.yaml",
        r#"
resources:
  cube:
    kind: http
    base_url: "{{ env.CUBE_URL }}/v1"
    auth: { jwt: { secret: "cube/{{ tenant.id }}", claims: { tenant: "{{ tenant.id }}" }, ttl: 1h } }
    headers: { X-Key: { secret: key }, X-Version: 2 }
    query: { format: json }
    timeout: 5s
  users: { kind: http, base_url: "http://users", auth: { basic: { user: me, password: { secret: p } } } }
"#,
    );
    let resource = |name: &str| match &manifest.resources[&name.parse::<ResourceName>().unwrap()] {
        ResourceDef::Http(resource) => resource.clone(),
        other => panic!("{other:?}"),
    };
    let cube = resource("cube");
    let Some(HttpAuth::Jwt { secret, claims, ttl }) = &cube.auth else { panic!("{cube:?}") };
    assert_eq!((secret.secret.as_str(), ttl.0.as_secs()), ("cube/{{ tenant.id }}", 3600));
    assert_eq!(claims["tenant"], "{{ tenant.id }}");
    assert_eq!(cube.headers["X-Version"], TextOrSecret::Text("2".to_owned()));
    assert!(matches!(cube.headers["X-Key"], TextOrSecret::Secret(_)));
    assert_eq!(cube.timeout.unwrap().0.as_secs(), 5);
    assert!(matches!(resource("users").auth, Some(HttpAuth::Basic { .. })));
    let stored = serde_json::to_value(&cube).unwrap();
    assert_eq!(stored["headers"], json!({ "X-Key": { "secret": "key" }, "X-Version": "2" }));
    assert_eq!(serde_json::from_value::<millstream_model::HttpResource>(stored).unwrap(), cube);
}

#[test]
fn a_step_takes_all_its_keys_and_comes_back_from_its_stored_form() {
    let manifest = load(
        "a.yaml",
        r#"
resources:
  api: { kind: http, base_url: "https://api.example.com" }
assets:
  one:
    step:
      kind: http
      resource: api
      request:
        { method: PATCH, path: /a, headers: { A: b }, query: { c: 1 }, json: { d: [null, 1] } }
      retry_while: { json: { e: 1 }, every: 2s, backoff: linear, max_time: 1m }
      paginate: { by: cursor, next: /next, body: /after, max_pages: 5 }
      rows: /data
      max_response: 1 MiB
  two:
    step: { kind: http, resource: api, rows: "", paginate: link }
  three:
    step:
      kind: http
      resource: api
      rows: /x
      request: { method: POST, form: { a: 1 } }
      paginate: { by: page }
"#,
    );
    let steps: Vec<_> = manifest
        .assets
        .iter()
        .map(|asset| match &asset.step {
            Some(StepConfig::Http(step)) => step.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    let [one, two, three] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!((one.request.method, one.max_response), (HttpMethod::Patch, ByteSize(1 << 20)));
    assert_eq!(one.request.body, HttpBody::Json(json!({ "d": [null, 1] })));
    let paginate = one.paginate.as_ref().unwrap();
    let into = CursorPlace::Body("/after".to_owned());
    assert_eq!(paginate.by, PageBy::Cursor { next: "/next".to_owned(), into });
    assert_eq!(paginate.max_pages, 5);
    assert_eq!(one.retry_while.as_ref().unwrap().max_time.unwrap().0.as_secs(), 60);
    assert_eq!(two.paginate.as_ref().unwrap().by, PageBy::Link);
    assert_eq!((two.rows.as_deref(), &two.request.body), (Some(""), &HttpBody::None));
    assert!(matches!(three.request.body, HttpBody::Form(_)));
    for step in steps {
        let step = StepConfig::Http(step);
        let stored = serde_json::to_string(&step).unwrap();
        assert_eq!(serde_json::from_str::<StepConfig>(&stored).unwrap(), step, "{stored}");
    }
}

#[test]
fn mistakes_are_found_when_the_file_is_loaded() {
    let resource = |rest: &str| format!("resources:\n  api: {{ kind: http, {rest} }}");
    let base = "base_url: \"https://a.example\"";
    let step = |rest: &str| {
        format!(
            "{}\nassets:\n  a: {{ step: {{ kind: http, resource: api, {rest} }} }}",
            resource(base)
        )
    };
    for (text, words) in [
        (resource("timeout: 5s"), "has no `base_url`"),
        (resource("base_url: a.example"), "must begin with `https://`"),
        (resource("base_url: \"https://ana:pw@a.example\""), "holds credentials"),
        (resource("base_url: \"https://a.example?key=x\""), "holds a query"),
        (resource("base_url: \"{{ run.id }}\""), "names `run`"),
        (resource(&format!("{base}, auth: {{ bearer: abc }}")), "`bearer` is a secret"),
        (resource(&format!("{base}, auth: {{ baerer: {{ secret: a }} }}")), "Unknown key `baerer`"),
        (resource(&format!("{base}, auth: {{}}")), "`auth` must have one kind"),
        (step("reqest: {}"), "Unknown key `reqest`"),
        (step("request: { method: post }"), "`method` cannot be `post`"),
        (step("request: { path: load }"), "must begin with `/`"),
        (step("request: { path: \"/load?a=b\" }"), "holds a query"),
        (step("request: { json: {} }"), "sends no `json`"),
        (step("request: { method: POST, json: {}, text: a }"), "one of `json`, `form` and `text`"),
        (step("rows: data.items"), "must be a JSON pointer"),
        (step("paginate: link"), "`paginate` needs `rows`"),
        (step("rows: /a, paginate: { by: cursor, next: /b }"), "one of `param` and `body`"),
        (step("rows: /a, paginate: { by: pages }"), "`by` cannot be `pages`"),
        (step("retry_while: { every: 1s }"), "needs `status` or `json`"),
        (step("max_response: 1 GiB"), "must be at most 256 MiB"),
    ] {
        let found = errors("a.yaml", &text);
        assert!(found.iter().any(|it| it.message.contains(words)), "{words}: {found:?}\n{text}");
    }
    let text = step("rows: /a, paginate: { by: pages }");
    let found = errors("a.yaml", &text);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    let column = text.lines().last().unwrap().find("pages").unwrap() + 1;
    assert_eq!(usize::try_from(one.place.column), Ok(column), "where the word stands");
}

#[test]
fn a_step_needs_a_resource_of_its_own_kind() {
    let text = r#"
resources:
  db: { kind: sqlite, path: a.db }
  api: { kind: http, base_url: "https://a.example" }
assets:
  one: { step: { kind: http, resource: db } }
  two: { step: { kind: sql, resource: api, statements: select 1 } }
  three: { step: { kind: http, resource: apy } }
"#;
    let found = check_new(&[("a.yaml", text)]).diagnostics;
    let messages: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
    let wanted = [
        "Asset `one` sends a request to `db`, which is a database",
        "Asset `two` runs SQL on `api`, which is no database",
        "Asset `three` names the resource `apy`, which no file declares",
    ];
    assert_eq!(messages, wanted);
}
