//! What a template asks for: its names, filters, tests and functions, from the language's own tree.
//!
//! Used by [`crate::template`], for texts that are within its bounds: the walk recurses as the
//! parser does. Nothing here knows which names exist.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{BinOpKind, Call, CallArg, Expr, Filter, Stmt, Test, UnaryOpKind};
use minijinja::machinery::parse;
use minijinja::value::ValueKind;
use minijinja::{Error, syntax::SyntaxConfig};

/// What a template asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// The names that it looks up.
    pub(crate) names: BTreeSet<String>,
    /// What it cannot do without. What has a default, is asked whether it is there, or stands in a
    /// branch, can be missing.
    pub(crate) needed: BTreeSet<Path>,
    /// The words of the language that it uses.
    pub(crate) words: BTreeSet<(Word, String)>,
    /// What it joins with `~` and is no text, as a message names it.
    pub(crate) glued: BTreeSet<&'static str>,
}

/// A name, and the field of it that is looked up, if one is. Of `a.b.c` there is that of the field
/// too: `a.b` and its `c`.
pub(crate) type Path = (String, Option<String>);

/// What a word of the language does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    /// `… | word`
    Filter,
    /// `… is word`
    Test,
    /// `word(…)`
    Function,
}

/// What the template `text` asks for.
pub(crate) fn asked_in(text: &str) -> Result<Asked, Error> {
    let tree = parse(text, "template", SyntaxConfig::default())?;
    let mut walk = Walk { asked: Asked::default(), assigned: vec![BTreeSet::new()] };
    walk.stmt(&tree, Need::Whole);
    Ok(walk.asked)
}

/// How much of a name has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// All of it.
    Whole,
    /// All but its last part, which has a default or is asked for.
    ButLast,
    /// Nothing, as far as it is known.
    Nothing,
}

impl Need {
    /// Of what is asked whether it is there.
    fn of_asked(self) -> Self {
        if self == Self::Whole { Self::ButLast } else { Self::Nothing }
    }

    /// Of the parts of what is needed.
    fn of_parts(self) -> Self {
        if self == Self::Whole { Self::Whole } else { Self::Nothing }
    }
}

struct Walk<'t> {
    asked: Asked,
    /// The names that the template gives itself, by the blocks they are known in.
    assigned: Vec<BTreeSet<&'t str>>,
}

impl<'t> Walk<'t> {
    fn stmts(&mut self, all: &'t [Stmt<'t>], need: Need) {
        for one in all {
            self.stmt(one, need);
        }
    }

    /// Statements whose assignments end with them.
    fn block(&mut self, assigned: &[&'t Expr<'t>], all: &'t [Stmt<'t>], need: Need) {
        self.assigned.push(BTreeSet::from(["loop"]));
        for target in assigned {
            self.assign(target);
        }
        self.stmts(all, need);
        self.assigned.pop();
    }

    fn stmt(&mut self, stmt: &'t Stmt<'t>, need: Need) {
        match stmt {
            Stmt::Template(it) => self.stmts(&it.children, need),
            Stmt::EmitExpr(it) => self.expr(&it.expr, need),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(it) => {
                self.expr(&it.iter, need);
                self.block(&[&it.target], &it.body, Need::Nothing);
                if let Some(filter) = &it.filter_expr {
                    self.assigned.push(BTreeSet::new());
                    self.assign(&it.target);
                    self.expr(filter, Need::Nothing);
                    self.assigned.pop();
                }
                self.stmts(&it.else_body, Need::Nothing);
            }
            Stmt::IfCond(it) => {
                self.expr(&it.expr, need);
                self.stmts(&it.true_body, Need::Nothing);
                self.stmts(&it.false_body, Need::Nothing);
            }
            Stmt::WithBlock(it) => {
                for (_, value) in &it.assignments {
                    self.expr(value, need);
                }
                let targets: Vec<_> = it.assignments.iter().map(|(target, _)| target).collect();
                self.block(&targets, &it.body, need);
            }
            Stmt::Set(it) => {
                self.expr(&it.expr, need);
                self.assign(&it.target);
            }
            Stmt::SetBlock(it) => {
                self.exprs(it.filter.as_slice(), need);
                self.stmts(&it.body, need);
                self.assign(&it.target);
            }
            Stmt::AutoEscape(it) => {
                self.expr(&it.enabled, need);
                self.stmts(&it.body, need);
            }
            Stmt::FilterBlock(it) => {
                self.expr(&it.filter, need);
                self.stmts(&it.body, need);
            }
            Stmt::Do(it) => self.call(&it.call, need),
        }
    }

    fn assign(&mut self, target: &'t Expr<'t>) {
        match target {
            Expr::Var(it) => {
                if let Some(names) = self.assigned.last_mut() {
                    names.insert(it.id);
                }
            }
            Expr::List(it) => it.items.iter().for_each(|item| self.assign(item)),
            Expr::Tuple(it) => it.items.iter().for_each(|item| self.assign(item)),
            _ => {}
        }
    }

    fn exprs(&mut self, all: &'t [Expr<'t>], need: Need) {
        for one in all {
            self.expr(one, need);
        }
    }

    fn expr(&mut self, expr: &'t Expr<'t>, need: Need) {
        if let Some((name, fields)) = path_of(expr) {
            self.path(name, &fields, need);
            return;
        }
        let need = match expr {
            Expr::Filter(_) | Expr::Test(_) => need,
            _ => need.of_parts(),
        };
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(it) => {
                self.expr(&it.expr, need);
                for part in [&it.start, &it.stop, &it.step] {
                    self.exprs(part.as_slice(), need);
                }
            }
            Expr::UnaryOp(it) => self.expr(&it.expr, need),
            Expr::BinOp(it) => {
                if matches!(it.op, BinOpKind::Concat) {
                    let sides = [&it.left, &it.right];
                    self.asked.glued.extend(sides.into_iter().filter_map(no_text));
                }
                self.expr(&it.left, need);
                let is_short = matches!(it.op, BinOpKind::ScAnd | BinOpKind::ScOr);
                self.expr(&it.right, if is_short { Need::Nothing } else { need });
            }
            Expr::Compare(it) => {
                self.expr(&it.expr, need);
                for (index, op) in it.ops.iter().enumerate() {
                    self.expr(&op.expr, if index == 0 { need } else { Need::Nothing });
                }
            }
            Expr::IfExpr(it) => {
                self.expr(&it.test_expr, need);
                self.expr(&it.true_expr, Need::Nothing);
                self.exprs(it.false_expr.as_slice(), Need::Nothing);
            }
            Expr::Filter(it) => self.filter(it, need),
            Expr::Test(it) => self.test(it, need),
            Expr::GetAttr(it) => self.expr(&it.expr, need),
            Expr::GetItem(it) => {
                self.expr(&it.expr, need);
                self.expr(&it.subscript_expr, need);
            }
            Expr::Call(it) => self.call(it, need),
            Expr::List(it) => self.exprs(&it.items, need),
            Expr::Tuple(it) => self.exprs(&it.items, need),
            Expr::Map(it) => {
                self.exprs(&it.keys, need);
                self.exprs(&it.values, need);
            }
        }
    }

    fn path(&mut self, name: &str, fields: &[String], need: Need) {
        if self.assigned.iter().any(|names| names.contains(name)) {
            return;
        }
        self.asked.names.insert(name.to_owned());
        let (is_needed, certain) = match need {
            Need::Whole => (true, fields.len()),
            Need::ButLast => (fields.len() > 1, fields.len().saturating_sub(1)),
            Need::Nothing => (false, 0),
        };
        if is_needed {
            self.asked.needed.insert((name.to_owned(), fields.first().cloned()));
        }
        if let [field, further, ..] = fields.get(..certain).unwrap_or_default() {
            self.asked.needed.insert((format!("{name}.{field}"), Some(further.clone())));
        }
    }

    fn filter(&mut self, it: &'t Filter<'t>, need: Need) {
        self.word(Word::Filter, it.name);
        // These take the name of another filter, or of a test.
        let named = match it.name {
            "map" => it.args.first().map(|arg| (Word::Filter, arg)),
            "select" | "reject" => it.args.first().map(|arg| (Word::Test, arg)),
            "selectattr" | "rejectattr" => it.args.get(1).map(|arg| (Word::Test, arg)),
            _ => None,
        };
        if let Some((kind, CallArg::Pos(Expr::Const(name)))) = named
            && let Some(name) = name.value.as_str()
        {
            self.word(kind, name);
        }
        let has_default = matches!(it.name, "default" | "d");
        let of_value = if has_default { need.of_asked() } else { need.of_parts() };
        self.exprs(it.expr.as_slice(), of_value);
        self.args(&it.args, need.of_parts());
    }

    fn test(&mut self, it: &'t Test<'t>, need: Need) {
        self.word(Word::Test, it.name);
        self.expr(&it.expr, need.of_asked());
        self.args(&it.args, need.of_parts());
    }

    fn call(&mut self, it: &'t Call<'t>, need: Need) {
        match &it.expr {
            Expr::Var(function) => {
                if !self.assigned.iter().any(|names| names.contains(function.id)) {
                    self.word(Word::Function, function.id);
                }
            }
            Expr::GetAttr(method) => self.expr(&method.expr, need),
            other => self.expr(other, need),
        }
        self.args(&it.args, need);
    }

    fn args(&mut self, args: &'t [CallArg<'t>], need: Need) {
        for arg in args {
            let (CallArg::Pos(value)
            | CallArg::Kwarg(_, value)
            | CallArg::PosSplat(value)
            | CallArg::KwargSplat(value)) = arg;
            self.expr(value, need);
        }
    }

    fn word(&mut self, kind: Word, name: &str) {
        self.asked.words.insert((kind, name.to_owned()));
    }
}

/// What `expr` gives, where that is plain to see and no text.
fn no_text(expr: &Expr<'_>) -> Option<&'static str> {
    const BOOLEAN: &str = "a boolean";
    match expr {
        Expr::Const(it) => match it.value.kind() {
            ValueKind::None => Some("null"),
            ValueKind::Bool => Some(BOOLEAN),
            ValueKind::Seq => Some("a list"),
            ValueKind::Map => Some("a map"),
            _ => None,
        },
        Expr::List(_) | Expr::Tuple(_) => Some("a list"),
        Expr::Map(_) => Some("a map"),
        Expr::Test(_) | Expr::Compare(_) => Some(BOOLEAN),
        Expr::UnaryOp(it) => matches!(it.op, UnaryOpKind::Not).then_some(BOOLEAN),
        Expr::BinOp(it) => {
            use BinOpKind::{Eq, Gt, Gte, In, Lt, Lte, Ne};
            matches!(it.op, Eq | Ne | Lt | Lte | Gt | Gte | In).then_some(BOOLEAN)
        }
        _ => None,
    }
}

/// The name that `expr` begins with, and the fields that it takes of it: `a.b['c']`.
fn path_of<'t>(mut expr: &'t Expr<'t>) -> Option<(&'t str, Vec<String>)> {
    let mut fields = Vec::new();
    loop {
        match expr {
            Expr::Var(it) => {
                fields.reverse();
                return Some((it.id, fields));
            }
            Expr::GetAttr(it) => {
                fields.push(it.name.to_owned());
                expr = &it.expr;
            }
            Expr::GetItem(it) => {
                let Expr::Const(field) = &it.subscript_expr else { return None };
                fields.push(field.value.as_str()?.to_owned());
                expr = &it.expr;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(text: &str) -> Vec<String> {
        let path = |(name, field): Path| match field {
            Some(field) => format!("{name}.{field}"),
            None => name,
        };
        asked_in(text).unwrap().needed.into_iter().map(path).collect()
    }

    #[test]
    fn what_can_be_missing_is_not_needed() {
        for (text, wanted) in [
            ("{{ a.b.c }}{{ a['d'] }}{{ e }}{{ f | upper }}", "a.b a.d a.b.c e f"),
            ("{{ a.b | default(c) }}{{ d.e | d }}{{ f is defined }}", "c"),
            ("{{ a.b.c | default(1) }}{{ d.e.f is defined }}", "a.b d.e"),
            ("{{ a.b.c.d | default(1) }}{{ e.f.upper() }}", "a.b a.b.c e.f"),
            ("{{ a | upper | default(b ~ 'x') }}", "b"),
            ("{{ a if b else c }}{{ d or e }}{{ f and g }}{{ not h }}", "b d f h"),
            ("{% if a.b == c %}{{ d }}{% elif e %}{{ f }}{% else %}{{ g }}{% endif %}h", "a.b c"),
            ("{% for a in b.c %}{{ a.d }}{{ e }}{{ loop.index }}{% endfor %}{{ f }}", "b.c f"),
            ("{% set a = b %}{{ a.c }}{% with d = e %}{{ d.f }}{{ g }}{% endwith %}", "b e g"),
            (
                "{{ f(a, b=c.d) }}{{ a.b.items() }}{{ [h, {'i': j}] }}{{ k[l] }}",
                "a a.b c.d h j k l",
            ),
            (
                "{# {{ a }} #}{% raw %}{{ b }}{% endraw %}{% filter upper %}{{ c }}{% endfilter %}",
                "c",
            ),
        ] {
            assert_eq!(needed(text).join(" "), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_joined_and_plainly_no_text_is_found() {
        for (text, wanted) in [
            ("{{ 'a' ~ true }}{{ none ~ 'a' }}", "a boolean, null"),
            ("{{ 'a' ~ [b] }}{{ {'a': 1} ~ 'b' }}", "a list, a map"),
            ("{{ 'a' ~ (b == 1) }}", "a boolean"),
            ("{{ 'a' ~ (not b) }}", "a boolean"),
            ("{{ 'a' ~ (b is defined) }}", "a boolean"),
            ("{{ 'a' ~ (b in c) ~ d }}", "a boolean"),
            ("{{ 'a' ~ 1 ~ b.c ~ (d | join) ~ (-e) }}{{ [true] }}", ""),
        ] {
            let glued = asked_in(text).unwrap().glued;
            assert_eq!(glued.into_iter().collect::<Vec<_>>().join(", "), wanted, "{text}");
        }
    }

    #[test]
    fn words_are_found_wherever_they_stand() {
        let text = "a | b {# x | c #}{{ '|d' ~ e|shel(2) }}{% if f is nosuch and g(h) %}\
                    {{ i | map('nope') | select('no', 1) | selectattr('x', 'neither') }}{% endif %}\
                    {% filter block(1) %}{% endfilter %}{{ j is not divisibleby(2) }}{{ k.l() }}";
        let words = asked_in(text).unwrap().words;
        let of = |kind| {
            let names = words.iter().filter(move |(word, _)| *word == kind);
            names.map(|(_, name)| name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(Word::Filter), ["block", "map", "nope", "select", "selectattr", "shel"]);
        assert_eq!(of(Word::Test), ["divisibleby", "neither", "no", "nosuch"]);
        assert_eq!(of(Word::Function), ["g"]);
    }
}
