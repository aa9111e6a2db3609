//! Templates in a step's configuration, resolved when it starts.
//!
//! Strict: an undefined name is an error that says which names there are. In a line for the shell
//! a value is put in only if the shell cannot read anything into it, and likewise in a statement of
//! SQL, so that a partition key or a trigger's text never becomes a command.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use millstream_model::filling;
use millstream_model::named::{Named, with_texts};
use millstream_model::sql_text::Quotes;
use millstream_model::{ErrorCode, StepError, needed_names, put_name};
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::{Map, Value as Json};

use super::filters::{for_path, for_setting, for_shell, for_sql, identifier, shell_quoted, snake};
use super::quotes;

/// How much work one template may be; a loop over a large result ends here.
const FUEL: u64 = 1_000_000;

/// The most names that an error lists of one thing.
const NAMES_SHOWN: usize = 30;

/// The templates of one attempt.
///
/// Most steps have none, and an environment is much to make for nothing, as are names for results
/// that may be large: each is made when the first template needs it.
#[derive(Debug)]
pub(super) struct Templates<'a> {
    plain: OnceLock<Environment<'static>>,
    shell: OnceLock<Environment<'static>>,
    sql: OnceLock<Environment<'static>>,
    path: OnceLock<Environment<'static>>,
    setting: OnceLock<Environment<'static>>,
    names: OnceLock<Value>,
    sight: Sight<'a>,
}

/// What templates see.
#[derive(Debug)]
pub(super) struct Sight<'a> {
    /// The context document.
    pub(super) json: Cow<'a, Map<String, Json>>,
    /// The declared variables.
    pub(super) declared_env: Cow<'a, BTreeMap<String, String>>,
    /// The handler's module, if there is one.
    pub(super) module: Option<Cow<'a, str>>,
}

impl<'a> Templates<'a> {
    /// Templates that see `sight`.
    pub(super) fn new(sight: Sight<'a>) -> Self {
        Self {
            plain: OnceLock::new(),
            shell: OnceLock::new(),
            sql: OnceLock::new(),
            path: OnceLock::new(),
            setting: OnceLock::new(),
            names: OnceLock::new(),
            sight,
        }
    }

    fn names(&self) -> &Value {
        self.names.get_or_init(|| self.sight.names())
    }

    /// `text` with its templates resolved.
    pub(super) fn render(&self, text: &str) -> Result<String, StepError> {
        self.resolve(text, || self.plain.get_or_init(environment))
    }

    /// `text`, a line for the shell, with its templates resolved.
    pub(super) fn render_shell(&self, text: &str) -> Result<String, StepError> {
        let shell = || {
            let mut environment = environment();
            environment.set_formatter(for_shell);
            environment
        };
        let line = self.resolve(text, || self.shell.get_or_init(shell))?;
        let word = ("shell", "write the command as a list, or give the value by `env`");
        quotes::shell(&line).map_err(|place| misplaced(text, place, word))
    }

    /// `text`, a statement of SQL, with its templates resolved.
    pub(super) fn render_sql(&self, text: &str, quotes: Quotes) -> Result<String, StepError> {
        let sql = || {
            let mut environment = environment();
            environment.set_formatter(for_sql);
            environment
        };
        let statement = self.resolve(text, || self.sql.get_or_init(sql))?;
        let name = ("identifier", "bind the value as a parameter, like `:tenant`");
        quotes::sql(&statement, quotes).map_err(|place| misplaced(text, place, name))
    }

    /// `text`, the path of an address, with its templates resolved.
    pub(super) fn render_path(&self, text: &str) -> Result<String, StepError> {
        let path = || {
            let mut environment = environment();
            environment.set_formatter(for_path);
            environment
        };
        self.resolve(text, || self.path.get_or_init(path))
    }

    /// `text`, which says where something is, with its templates resolved: what is null there would
    /// name the place of somebody else.
    pub(super) fn render_setting(&self, text: &str) -> Result<String, StepError> {
        let setting = || {
            let mut environment = environment();
            environment.set_formatter(for_setting);
            environment
        };
        self.resolve(text, || self.setting.get_or_init(setting))
    }

    /// `json` with the templates of all its texts resolved; a text that is a single `{{ … }}`
    /// becomes what it names, be it a number, a list or an object.
    pub(super) fn render_json(&self, json: &Json) -> Result<Json, StepError> {
        Ok(match json {
            Json::String(text) => match single(&with_texts(text)) {
                Some(expression) => self.evaluate(text, expression)?,
                None => Json::String(self.render(text)?),
            },
            Json::Array(items) => {
                Json::Array(items.iter().map(|it| self.render_json(it)).collect::<Result<_, _>>()?)
            }
            Json::Object(fields) => {
                let field = |(key, value): (&String, &Json)| {
                    Ok::<_, StepError>((key.clone(), self.render_json(value)?))
                };
                Json::Object(fields.iter().map(field).collect::<Result<_, _>>()?)
            }
            plain => plain.clone(),
        })
    }

    /// A step's `params` with the templates of all their texts resolved, as in
    /// [`Self::render_json`].
    pub(super) fn render_params<'p, P>(
        &self,
        params: impl IntoIterator<Item = (&'p String, &'p Json)>,
    ) -> Result<P, StepError>
    where
        P: FromIterator<(String, Json)>,
    {
        let rendered =
            |(name, value): (&String, &Json)| Ok((name.clone(), self.render_json(value)?));
        params.into_iter().map(rendered).collect()
    }

    /// `text` with its templates resolved in `environment`, which is made if there are any.
    fn resolve<'e>(
        &self,
        text: &str,
        environment: impl FnOnce() -> &'e Environment<'static>,
    ) -> Result<String, StepError> {
        if !["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) {
            return Ok(text.to_owned());
        }
        let names = self.names();
        environment()
            .render_named_str("template", &with_texts(text), names)
            .map_err(|error| unresolved(text, &error, names))
    }

    /// What `expression` names, which is all of `text` once the names that stand alone are texts.
    fn evaluate(&self, text: &str, expression: &str) -> Result<Json, StepError> {
        let environment = self.plain.get_or_init(environment);
        environment
            .compile_expression(expression)
            .and_then(|expression| expression.eval(self.names()))
            .and_then(|value| filling::json(&value))
            .map_err(|error| unresolved(text, &error, self.names()))
    }
}

fn environment() -> Environment<'static> {
    let mut environment = filling::language(FUEL);
    environment.add_filter("snake", snake);
    environment.add_filter("identifier", identifier);
    environment.add_filter("shell", shell_quoted);
    environment
}

fn unresolved(text: &str, error: &Error, names: &Value) -> StepError {
    StepError {
        code: ErrorCode::StepTemplate,
        message: format!(
            "the template {text:?} cannot be resolved: {}",
            explain(text, error, names)
        ),
        detail: None,
    }
}

/// A value that `filter` has quoted stands in `place` of `text`, whose quotes it would end.
fn misplaced(text: &str, place: &str, (filter, instead): (&str, &str)) -> StepError {
    let message = format!(
        "the template {text:?} cannot be resolved: a value with the filter `{filter}` stands in \
         {place}, where the quotes that the filter puts around it do not hold; let it stand \
         alone, or {instead}"
    );
    StepError { code: ErrorCode::StepTemplate, message, detail: None }
}

/// The expression of a text that is one `{{ … }}` and nothing else.
fn single(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let is_one = !inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%");
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    is_one.then(|| inner.strip_suffix('-').unwrap_or(inner))
}

fn explain(text: &str, error: &Error, names: &Value) -> String {
    let said = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    if error.kind() != ErrorKind::UndefinedError {
        return said;
    }
    let unknown = undefined(text, names);
    let said = if unknown.is_empty() {
        said
    } else {
        format!("nothing is called `{}`", unknown.join("`, `"))
    };
    let mut holders: BTreeSet<Option<&str>> =
        unknown.iter().map(|path| holder(path, names)).collect();
    if holders.is_empty() {
        holders.insert(None);
    }
    let there: Vec<String> = holders
        .into_iter()
        .map(|path| match path {
            None => format!("it sees {}", listed(names)),
            Some("env") => format!(
                "`env` has {}: it holds the variables that MILLSTREAM_ENV names",
                listed(&at("env", names).unwrap_or_default())
            ),
            Some(path) => format!("`{path}` has {}", listed(&at(path, names).unwrap_or_default())),
        })
        .collect();
    format!("{said}; {}", there.join("; "))
}

/// What `path` leads to in `names`.
fn at(path: &str, names: &Value) -> Option<Value> {
    let found = path.split('.').try_fold(names.clone(), |value, part| value.get_attr(part)).ok()?;
    (!found.is_undefined()).then_some(found)
}

/// The part of `path` that leads to a thing with fields, when it leads to one in `names`.
fn holder<'p>(path: &'p str, names: &Value) -> Option<&'p str> {
    let mut rest = path;
    while let Some((shorter, _)) = rest.rsplit_once('.') {
        rest = shorter;
        if let Some(value) = at(rest, names) {
            return (value.kind() == ValueKind::Map).then_some(rest);
        }
    }
    None
}

/// The names in `value`, of many the first.
fn listed(value: &Value) -> String {
    let mut names = value.try_iter().into_iter().flatten().map(|name| name.to_string());
    let mut listed: Vec<String> = names.by_ref().take(NAMES_SHOWN).collect();
    match names.count() {
        0 if listed.is_empty() => return "no fields".to_owned(),
        0 => {}
        more => listed.push(format!("{more} more")),
    }
    listed.join(", ")
}

/// What `text` names, `names` does not have and `text` cannot do without, in order.
fn undefined(text: &str, names: &Value) -> Vec<String> {
    let environment = environment();
    let Ok(template) = environment.template_from_str(text) else { return Vec::new() };
    let is_built_in = |name: &str| environment.globals().any(|(global, _)| global == name);
    let mut unknown: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    unknown.retain(|path| at(path, names).is_none() && !is_built_in(path));
    unknown.sort();
    needed_names(unknown, |others, value| {
        environment.render_str(&with_texts(text), with_others(names, others, value)).is_ok()
    })
}

/// `names` with `value` where each of `others` leads.
fn with_others(names: &Value, others: &[&str], value: &Json) -> Value {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for name in names.try_iter().into_iter().flatten() {
        all.extend(names.get_item(&name).map(|value| (name.to_string(), value)));
    }
    for path in others {
        // The thing itself stays as it is unless a field of it is missing.
        let (name, below) = path.split_once('.').unwrap_or((path, ""));
        let mut filled = value.clone();
        if !below.is_empty() {
            filled = all.get(name).and_then(|it| serde_json::to_value(it).ok()).unwrap_or_default();
            put_name(&mut filled, below, value);
        }
        all.insert(name.to_owned(), serde_value(filled));
    }
    Value::from(all)
}

impl Sight<'_> {
    fn names(&self) -> Value {
        let get = |name: &str| self.json.get(name).unwrap_or(&Json::Null);
        let mut names: BTreeMap<String, Value> = BTreeMap::new();
        // Document 004's bare names first: whatever has a meaning of its own takes precedence.
        if let Json::Object(trigger) = get("trigger") {
            names.extend(trigger.iter().map(|(k, v)| (k.clone(), serde_value(v))));
        }
        let run = get("run");
        let run_id = run.get("id").and_then(Json::as_str).unwrap_or_default();
        let tenant = get("tenant");
        let tenant_id = tenant.get("id").and_then(Json::as_str).unwrap_or_default();
        names.insert("job_id".to_owned(), Value::from(run_id));
        names.insert("task_id".to_owned(), serde_value(get("step")));
        names.insert("run".to_owned(), Named::value(run_id, run));
        names.insert("tenant".to_owned(), Named::value(tenant_id, tenant));
        names.insert("trigger".to_owned(), serde_value(get("trigger")));
        names.insert("upstream".to_owned(), serde_value(get("upstream_results")));
        names.insert("env".to_owned(), serde_value(&self.declared_env));
        if let Some(key) = get("partition").as_str() {
            let mut parts = get("dimensions").clone();
            if let Some(parts) = parts.as_object_mut() {
                parts.entry("key").or_insert_with(|| key.into());
            }
            names.insert("partition".to_owned(), Named::value(key, &parts));
        }
        if let Some(module) = self.module.as_deref() {
            let name = module.rsplit('.').next().unwrap_or(module);
            names.insert("module".to_owned(), Value::from(module));
            names.insert("name".to_owned(), Value::from(name));
        }
        Value::from(names)
    }
}

fn serde_value(value: impl serde::Serialize) -> Value {
    Value::from(Serde(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn templates() -> Templates<'static> {
        let document = json!({
            "run": {"id": "0190-run"},
            "tenant": {"id": "jfk", "schema_name": "tenant_jfk"},
            "partition": "jfk::day",
            "dimensions": {"tenant": "jfk", "grain": "day"},
            "trigger": {"city": "Oslo; rm -rf /", "run": "not the run"},
            "upstream_results": {"fetch": {"records": 500}},
            "step": "validate",
        });
        let Json::Object(document) = document else { unreachable!() };
        let env = BTreeMap::from([("LAKE".to_owned(), "/lake".to_owned())]);
        let module = Some(Cow::Borrowed("MyApp.Tasks.FetchData"));
        Templates::new(Sight { json: Cow::Owned(document), declared_env: Cow::Owned(env), module })
    }

    #[test]
    fn texts_without_templates_cost_neither_names_nor_an_environment() {
        let templates = templates();
        assert_eq!(templates.render("./work.sh").unwrap(), "./work.sh");
        assert!(templates.names.get().is_none() && templates.plain.get().is_none());
    }

    #[test]
    fn every_filter_that_definitions_may_name_is_there() {
        for filter in millstream_model::STEP_FILTERS {
            let known = format!("{{{{ 1 if '{filter}' is filter else 0 }}}}");
            assert_eq!(templates().render(&known).as_deref(), Ok("1"), "{filter}");
        }
    }

    #[test]
    fn r189_templates_see_upstream_results_trigger_and_document_004_s_bare_names() {
        let templates = templates();
        for (text, wanted) in [
            ("{{ upstream.fetch.records }}", "500"),
            ("{{ trigger.city }}|{{ city }}", "Oslo; rm -rf /|Oslo; rm -rf /"),
            ("{{job_id}}/{{task_id}}.json", "0190-run/validate.json"),
            ("{{ tenant }} {{ tenant.schema_name }}", "jfk tenant_jfk"),
            ("{{ partition }} {{ partition.grain }}", "jfk::day day"),
            ("{{ env.LAKE }} {{ run }}", "/lake 0190-run"),
            ("{{ name | snake }} {{ module }}", "fetch_data MyApp.Tasks.FetchData"),
            (
                "{{ 'FetchAPIData' | snake }} {{ 'TaskA2Flaky' | snake }}",
                "fetch_api_data task_a2_flaky",
            ),
            ("{{ partition | identifier }} {{ tenant | snake }}", "\"jfk::day\" jfk"),
            ("{% if partition == 'jfk::day' %}it{% endif %} {{ run == job_id }}", "it true"),
            ("no template { here }", "no template { here }"),
        ] {
            assert_eq!(templates.render(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_default_takes_the_place_of_what_is_null_or_undefined_and_of_nothing_else() {
        let document = json!({ "tenant": {"id": "jfk", "name": null, "rank": 0}, "trigger": {} });
        let Json::Object(document) = document else { unreachable!() };
        let json = Cow::Owned(document);
        let templates = Templates::new(Sight { json, declared_env: Cow::default(), module: None });
        for (text, wanted) in [
            ("{{ tenant.name | default('x') }}", "x"),
            ("{{ tenant.name | d }}|{{ trigger.day | default('all') }}", "|all"),
            ("{{ tenant.rank | default(7) }} {{ tenant.rank | default(7, true) }}", "0 7"),
        ] {
            assert_eq!(templates.render(text).as_deref(), Ok(wanted), "{text}");
        }
        assert!(
            templates.render("{{ trigger.day.name | default('all') }}").is_err(),
            "of its last"
        );
        let line = templates.render_shell("echo {{ tenant.name | default('x') }}");
        assert_eq!(line.as_deref(), Ok("echo x"));
    }

    #[test]
    fn null_is_no_part_of_a_setting_unless_something_takes_its_place() {
        let document = json!({ "tenant": {"id": "jfk", "schema_name": null, "rank": 0} });
        let Json::Object(document) = document else { unreachable!() };
        let json = Cow::Owned(document);
        let templates = Templates::new(Sight { json, declared_env: Cow::default(), module: None });
        for (text, wanted) in [
            ("db/{{ tenant.id }}.db", "db/jfk.db"),
            ("db/{{ tenant.schema_name | default('main') }}{{ tenant.rank }}", "db/main0"),
            ("{{ tenant.schema_name or tenant.id }}", "jfk"),
        ] {
            assert_eq!(templates.render_setting(text).as_deref(), Ok(wanted), "{text}");
        }
        let error = templates.render_setting("db/{{ tenant.schema_name }}.db").unwrap_err();
        assert_eq!(error.code, ErrorCode::StepTemplate);
        assert_eq!(
            error.message,
            "the template \"db/{{ tenant.schema_name }}.db\" cannot be resolved: what it names is \
             null for the tenant jfk; set it, or write what takes its place, as in \
             `{{ tenant.schema_name | default(tenant.id) }}`"
        );
        assert_eq!(templates.render("{{ tenant.schema_name }}").as_deref(), Ok(""));
    }

    #[test]
    fn an_undefined_name_is_an_error_that_says_what_there_is() {
        let error = templates().render("{{ upstram.fetch }}").unwrap_err();
        assert_eq!(error.code, ErrorCode::StepTemplate);
        assert!(error.message.contains("upstream"), "{}", error.message);
        assert!(templates().render("{{ env.HOME }}").is_err());
    }

    #[test]
    fn of_an_undefined_field_the_error_says_which_fields_there_are() {
        let said = |text: &str| templates().render(text).unwrap_err().message;
        for (text, wanted) in [
            ("{{ partition.grian }}", "`partition.grian`; `partition` has grain, key, tenant"),
            (
                "{{ upstream.fetch.pages.x }}",
                "`upstream.fetch.pages.x`; `upstream.fetch` has records",
            ),
            ("{{ env.HOME }} {{ shop }}", "; it sees city, env, job_id, module, name, "),
            (
                "{{ env.HOME }} {{ shop }}",
                "; `env` has LAKE: it holds the variables that MILLSTREAM_ENV",
            ),
        ] {
            assert!(said(text).contains(wanted), "{}", said(text));
        }
        assert!(!said("{{ partition.grian }}").contains("it sees"));
    }

    #[test]
    fn a_name_that_has_a_default_is_not_told_as_missing() {
        let said = |text: &str| templates().render(text).unwrap_err().message;
        let text = "{{ tenant }} {{ tenant.size | default(1) }} {{ size | d(2) }} \
                    {% if region is defined %}{{ region }}{% endif %} \
                    {{ range(3) }} {{ upstream.fetch.pages }} {{ shop + 1 }} {{ upstream.load.rows }}";
        let wanted = "nothing is called `shop`, `upstream.fetch.pages`, `upstream.load.rows`; ";
        assert!(said(text).contains(wanted), "{}", said(text));
    }

    #[test]
    fn a_value_cannot_become_a_command_of_the_shell() {
        let templates = templates();
        assert!(templates.render_shell("echo {{ city }}").is_err());
        assert_eq!(
            templates.render_shell("echo {{ city | shell }} {{ partition }} *").as_deref(),
            Ok("echo 'Oslo; rm -rf /' jfk::day *")
        );
        assert_eq!(
            templates.render_shell("echo '{{ partition }}'").as_deref(),
            Ok("echo 'jfk::day'")
        );
        let quoted = templates.render_shell("echo '{{ city | shell }}'").unwrap_err();
        assert!(quoted.message.contains("filter `shell` stands in quotes"), "{}", quoted.message);
    }

    #[test]
    fn a_value_cannot_become_a_statement() {
        let templates = templates();
        let render_sql = |text| templates.render_sql(text, Quotes::Standard);
        assert!(render_sql("SELECT '{{ city }}'").is_err());
        assert!(render_sql("SELECT * FROM {{ partition }}").is_err());
        assert_eq!(
            render_sql("SELECT {{ upstream.fetch.records }} FROM {{ city | identifier }}")
                .as_deref(),
            Ok("SELECT 500 FROM \"Oslo; rm -rf /\"")
        );
        let quoted = render_sql("SELECT '{{ city | identifier }}'").unwrap_err();
        assert!(quoted.message.contains("filter `identifier` stands in"), "{}", quoted.message);
        let name = "metric_{{ partition.grain }}";
        assert_eq!(render_sql(name).as_deref(), Ok("metric_day"));
    }

    #[test]
    fn a_value_cannot_become_another_part_of_an_address() {
        let templates = templates();
        let rendered =
            templates.render_path("/of/{{ city }}/{{ partition }}/{{ partition.grain }}");
        assert_eq!(rendered.as_deref(), Ok("/of/Oslo%3B%20rm%20-rf%20%2F/jfk%3A%3Aday/day"));
        assert!(templates.render_path("/{{ '..' }}/x").is_err());
        assert!(templates.render_path("/{{ nothing }}").is_err());
    }

    #[test]
    fn a_text_of_json_that_is_one_template_keeps_the_type_of_what_it_names() {
        let templates = templates();
        let json = json!({
            "n": "{{ upstream.fetch.records }}",
            "list": ["{{ [1, partition.grain] }}", 7, null],
            "text": "{{ upstream.fetch.records }} rows",
            "two": "{{ 1 }}{{ 2 }}",
            "tenant": "{{ tenant }}",
            "is": "{{ tenant == 'jfk' }}",
            "of": "{{ [tenant, partition | length] }}",
        });
        let wanted = json!({
            "n": 500, "list": [[1, "day"], 7, null], "text": "500 rows", "two": "12", "tenant": "jfk",
            "is": true, "of": ["jfk", 8],
        });
        assert_eq!(templates.render_json(&json), Ok(wanted));
        assert!(templates.render_json(&json!("{{ upstream.fetch.nothing }}")).is_err());
        assert!(templates.render_json(&json!("{{ nothing }}")).is_err());
    }

    #[test]
    fn the_texts_of_parameters_are_templates_at_any_depth_and_the_keys_of_maps_are_none() {
        let params = BTreeMap::from([
            ("n".to_owned(), json!("{{ upstream.fetch.records }}")),
            ("off".to_owned(), json!("{{ none }}")),
            ("is".to_owned(), json!("{{ 1 == 1 }}")),
            ("text".to_owned(), json!("{{ upstream.fetch.records }} rows")),
            ("list".to_owned(), json!(["{{ run }}", 7, [["{{ 1 + 1 }}"]]])),
            ("map".to_owned(), json!({ "{{ key }}": { "k": "of {{ tenant }}", "n": "{{ 3 }}" } })),
        ]);
        let rendered: BTreeMap<_, _> = templates().render_params(&params).unwrap();
        let wanted = json!({
            "n": 500, "off": null, "is": true, "text": "500 rows", "list": ["0190-run", 7, [[2]]],
            "map": { "{{ key }}": { "k": "of jfk", "n": 3 } },
        });
        assert_eq!(json!(rendered), wanted);
        let wrong = BTreeMap::from([("map".to_owned(), json!({ "k": ["{{ nothing }}"] }))]);
        assert!(templates().render_params::<BTreeMap<_, _>>(&wrong).is_err());
    }

    #[test]
    fn in_a_text_null_is_nothing_and_a_boolean_is_as_in_json() {
        let document = json!({ "trigger": { "none": null, "is": true, "not": false } });
        let Json::Object(json) = document else { unreachable!() };
        let env = Cow::Owned(BTreeMap::new());
        let sees = Sight { json: Cow::Owned(json), declared_env: env, module: None };
        let templates = Templates::new(sees);
        let values = "{{ trigger.none }}|{{ trigger.is }}|{{ trigger.not }}";
        assert_eq!(templates.render(values).as_deref(), Ok("|true|false"));
        let word = "{{ trigger.none | shell }} {{ trigger.is | shell }} {{ trigger.not }}";
        assert_eq!(templates.render_shell(word).as_deref(), Ok("'' 'true' false"));
        assert_eq!(
            templates.render_sql("a = {{ trigger.is }}", Quotes::Standard).as_deref(),
            Ok("a = true")
        );
        assert_eq!(templates.render_path("/{{ trigger.is }}").as_deref(), Ok("/true"));
        assert!(templates.render_shell("echo {{ trigger.none }}").is_err(), "a word of nothing");
        assert!(
            templates.render_sql("a = {{ trigger.none }}", Quotes::Sqlite).is_err(),
            "a name of nothing"
        );
    }

    #[test]
    fn an_endless_template_runs_out_of_fuel() {
        let text =
            "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
        assert!(templates().render(text).is_err());
    }
}
