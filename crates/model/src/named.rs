//! Things with a name and fields, as templates see them: `{{ tenant }}` is the id of one, and
//! `{{ tenant.schema_name }}` a field of it.
//!
//! Made by those who fill templates, who give the language the text that [`with_texts`] makes of a
//! template. A value of the language is a text or has fields, and never both.
//!
//! **Invariant.** Where no field of it is looked up, a thing is its name, which compares, contains
//! and goes through filters as any text does.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use minijinja::machinery::ast::{Call, CallArg, Expr, Stmt};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, ObjectRepr, Serde, Value};
use serde_json::Value as Json;

/// The names under which templates see such things.
const NAMES: [&str; 3] = ["run", "tenant", "partition"];

/// The filter that gives a thing's name; definitions cannot name it.
pub(crate) const TEXT_FILTER: &str = "__text";

/// The filters that read the fields of what they are given.
const READ_FIELDS: [&str; 3] = ["attr", "dictsort", "items"];

/// A thing with fields whose text is its name: `{{ tenant }}` and `{{ tenant.schema_name }}`.
#[derive(Debug)]
pub struct Named {
    name: String,
    fields: Value,
}

impl Named {
    /// The thing called `name`, as templates see it.
    pub fn value(name: &str, fields: &Json) -> Value {
        Value::from_object(Self { name: name.to_owned(), fields: Value::from(Serde(fields)) })
    }
}

/// The names of templates that the control plane fills: among them, a run and a tenant are things
/// that are called by their id.
pub fn with_ids(names: &Json) -> Value {
    let Json::Object(all) = names else { return Value::from(Serde(names)) };
    let thing = |(name, fields): (&String, &Json)| {
        let id = fields.get("id").filter(|_| NAMES.contains(&name.as_str())).and_then(Json::as_str);
        let seen = id.map_or_else(|| Value::from(Serde(fields)), |id| Named::value(id, fields));
        (name.clone(), seen)
    };
    Value::from_pairs(all.iter().map(thing))
}

/// Whether `value` is a thing with a name.
pub(crate) fn is_named(value: &Value) -> bool {
    value.downcast_object_ref::<Named>().is_some()
}

/// The name of a thing that has one, and every other value as it is.
pub(crate) fn text_of_named(value: &Value) -> Value {
    match value.downcast_object_ref::<Named>() {
        Some(named) => Value::from(named.name.as_str()),
        None => value.clone(),
    }
}

impl Object for Named {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.fields.get_item(key).ok().filter(|value| !value.is_undefined())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.fields.try_iter().into_iter().flatten().collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// `template` in which every name that stands alone gives its text, if it is one of a thing:
/// `{{ tenant == 'jfk' }}` becomes `{{ (tenant|__text) == 'jfk' }}`.
pub fn with_texts(template: &str) -> Cow<'_, str> {
    if !NAMES.iter().any(|name| template.contains(name)) {
        return Cow::Borrowed(template);
    }
    // What cannot be parsed is told by whoever renders it.
    let Ok(tree) = parse(template, "template", SyntaxConfig::default()) else {
        return Cow::Borrowed(template);
    };
    let mut alone = Alone::default();
    alone.stmt(&tree);
    alone.0.sort_unstable();
    let mut text = String::new();
    let mut rest = template;
    let mut done = 0;
    for (start, name) in alone.0 {
        let place = start.checked_sub(done).and_then(|start| rest.split_at_checked(start));
        let Some((before, after)) = place.filter(|(_, after)| after.starts_with(name)) else {
            return Cow::Borrowed(template);
        };
        text.extend([before, "(", name, "|", TEXT_FILTER, ")"]);
        rest = after.get(name.len()..).unwrap_or_default();
        done = start + name.len();
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The names in a template that stand alone, each with where it begins.
#[derive(Default)]
struct Alone<'t>(Vec<(usize, &'t str)>);

impl<'t> Alone<'t> {
    fn stmts(&mut self, all: &'t [Stmt<'t>]) {
        for one in all {
            self.stmt(one);
        }
    }

    fn stmt(&mut self, stmt: &'t Stmt<'t>) {
        match stmt {
            Stmt::Template(it) => self.stmts(&it.children),
            // What puts it into the text writes its name.
            Stmt::EmitExpr(it) => self.whole(&it.expr),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(it) => {
                self.expr(&it.iter);
                self.exprs(it.filter_expr.as_slice());
                self.stmts(&it.body);
                self.stmts(&it.else_body);
            }
            Stmt::IfCond(it) => {
                self.expr(&it.expr);
                self.stmts(&it.true_body);
                self.stmts(&it.false_body);
            }
            Stmt::WithBlock(it) => {
                it.assignments.iter().for_each(|(_, value)| self.whole(value));
                self.stmts(&it.body);
            }
            Stmt::Set(it) => self.whole(&it.expr),
            Stmt::SetBlock(it) => {
                self.exprs(it.filter.as_slice());
                self.stmts(&it.body);
            }
            Stmt::AutoEscape(it) => {
                self.expr(&it.enabled);
                self.stmts(&it.body);
            }
            Stmt::FilterBlock(it) => {
                self.expr(&it.filter);
                self.stmts(&it.body);
            }
            Stmt::Do(it) => self.call(&it.call),
        }
    }

    /// What has its fields where it is a name.
    fn whole(&mut self, expr: &'t Expr<'t>) {
        match expr {
            Expr::Var(_) => {}
            Expr::IfExpr(it) => {
                self.expr(&it.test_expr);
                self.whole(&it.true_expr);
                it.false_expr.iter().for_each(|it| self.whole(it));
            }
            Expr::Filter(it) if matches!(it.name, "default" | "d") => {
                it.expr.iter().for_each(|of| self.whole(of));
                self.args(&it.args);
            }
            _ => self.expr(expr),
        }
    }

    fn exprs(&mut self, all: &'t [Expr<'t>]) {
        for one in all {
            self.expr(one);
        }
    }

    fn expr(&mut self, expr: &'t Expr<'t>) {
        match expr {
            Expr::Var(it) => {
                self.0.extend(usize::try_from(it.span().start_offset).map(|start| (start, it.id)));
            }
            Expr::Const(_) => {}
            Expr::Slice(it) => {
                self.expr(&it.expr);
                for part in [&it.start, &it.stop, &it.step] {
                    self.exprs(part.as_slice());
                }
            }
            Expr::UnaryOp(it) => self.expr(&it.expr),
            Expr::BinOp(it) => {
                self.expr(&it.left);
                self.expr(&it.right);
            }
            Expr::Compare(it) => {
                self.expr(&it.expr);
                it.ops.iter().for_each(|op| self.expr(&op.expr));
            }
            Expr::IfExpr(it) => {
                self.expr(&it.test_expr);
                self.expr(&it.true_expr);
                self.exprs(it.false_expr.as_slice());
            }
            Expr::Filter(it) => {
                if let Some(of) = &it.expr {
                    if READ_FIELDS.contains(&it.name) { self.whole(of) } else { self.expr(of) }
                }
                self.args(&it.args);
            }
            Expr::Test(it) => {
                self.expr(&it.expr);
                self.args(&it.args);
            }
            Expr::GetAttr(it) => self.whole(&it.expr),
            Expr::GetItem(it) => {
                self.whole(&it.expr);
                self.expr(&it.subscript_expr);
            }
            Expr::Call(it) => self.call(it),
            Expr::List(it) => self.exprs(&it.items),
            Expr::Tuple(it) => self.exprs(&it.items),
            Expr::Map(it) => {
                self.exprs(&it.keys);
                self.exprs(&it.values);
            }
        }
    }

    fn call(&mut self, it: &'t Call<'t>) {
        self.whole(&it.expr);
        self.args(&it.args);
    }

    fn args(&mut self, args: &'t [CallArg<'t>]) {
        for arg in args {
            let (CallArg::Pos(value)
            | CallArg::Kwarg(_, value)
            | CallArg::PosSplat(value)
            | CallArg::KwargSplat(value)) = arg;
            self.expr(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::filling::language;

    fn filled(text: &str) -> Result<String, minijinja::Error> {
        let names = [
            ("partition", Named::value("jfk", &json!({ "key": "jfk", "day": "1" }))),
            ("tenant", Named::value("default", &json!({ "id": "default", "size": 3 }))),
            ("run", Named::value("r-1", &json!({ "id": "r-1" }))),
            ("rows", Value::from(vec!["a", "b"])),
        ];
        language(100_000).render_str(&with_texts(text), Value::from_pairs(names))
    }

    #[test]
    fn a_name_alone_is_a_text_wherever_it_stands() {
        for (text, wanted) in [
            ("{{ partition == 'jfk' }} {{ 'jfk' == partition }}", "true true"),
            ("{{ partition != 'jfk' }} {{ partition < 'k' }}", "false true"),
            ("{% if partition == 'jfk' %}a{% else %}b{% endif %}", "a"),
            ("{% if 'a' in rows and 'lga' == partition %}a{% elif run %}b{% endif %}", "b"),
            ("{{ partition in ['jfk'] }} {{ partition not in ['lga'] }}", "true true"),
            ("{{ 'jf' in partition }} {{ 'key' in partition }}", "true false"),
            ("{{ tenant == 'default' }} {{ run == run.id }}", "true true"),
            ("{{ partition | length }} {{ partition | first }}", "3 j"),
            ("{{ partition | upper | replace('J', partition) }} {{ partition[:2] }}", "jfkFK jf"),
            ("{{ [partition] | join }} {{ {partition: partition} }}", r#"jfk {"jfk":"jfk"}"#),
            ("{{ 'a' ~ partition }} {{ partition is string }}", "ajfk true"),
            ("{{ partition if run is defined else tenant }} {{ not run }}", "jfk false"),
            ("{% filter replace('x', run) %}x{% endfilter %} {{ dict(a=run).a ~ 1 }}", "r-1 r-11"),
            ("{% set n = namespace(x=run) %}{% set n.x = tenant ~ 1 %}{{ n.x }}", "default1"),
            ("{% for run in rows if run != tenant %}{{ run == 'a' }}{% endfor %}", "truefalse"),
            ("é{{ partition == 'jfk' }}\n  {{- tenant ~ '' }}é{# run == 1 #}", "étruedefaulté"),
            ("{% raw %}{{ run == 1 }}{% endraw %} run == 1", "{{ run == 1 }} run == 1"),
        ] {
            assert_eq!(filled(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn its_fields_are_there_and_so_are_those_of_another_name_for_it() {
        for (text, wanted) in [
            ("{{ partition }} {{ partition.day }} {{ partition['day'] }}", "jfk 1 1"),
            ("{{ tenant.size + 1 }} {{ tenant[('si' ~ 'ze')] }}", "4 3"),
            ("{% set it = tenant %}{{ it == 'default' }} {{ it.size }} {{ it }}", "true 3 default"),
            ("{% with it = tenant %}{{ it | upper }} {{ it.size }}{% endwith %}", "DEFAULT 3"),
            ("{{ (partition | default({})).day }} {{ (tenant if rows else run).size }}", "1 3"),
            ("{{ partition | d('x') }} {{ (partition | d('x')) == 'jfk' }}", "jfk true"),
            ("{{ tenant | attr('size') }} {{ partition | items | list }}", PAIRS),
        ] {
            assert_eq!(filled(text).unwrap(), wanted, "{text}");
        }
    }

    const PAIRS: &str = r#"3 [["day","1"],["key","jfk"]]"#;

    #[test]
    fn what_is_missing_is_missing_still() {
        assert_eq!(filled("{{ run.x | default('a') }}{{ runs | d('b') }}").unwrap(), "ab");
        assert_eq!(filled("{{ runs is defined }} {{ run is defined }}").unwrap(), "false true");
        assert!(filled("{{ runs ~ 'a' }}").is_err());
        assert!(filled("{{ runs == 'a' }}").is_err());
    }

    #[test]
    fn a_template_without_such_names_and_one_that_cannot_be_read_are_left_alone() {
        for text in ["{{ a == 1 }}", "{{ run == }}", "{{ run }}", "{{ tenant.id }}"] {
            assert_eq!(with_texts(text), text);
        }
    }
}
