//! How large a thing may be. Functions are clippy's to measure (`clippy.toml`).

use super::Finding;
use super::tree::File;

/// Lines of a Rust file without its test module.
const CODE_MAX: usize = 500;
/// Lines of a Rust file in all.
const FILE_MAX: usize = 800;
/// Characters of a line.
const LINE_MAX: usize = 100;
/// Characters of a line of a test that holds a text: broken up, a sample can hardly be compared.
const SAMPLE_LINE_MAX: usize = 120;
/// Lines of a template.
const TEMPLATE_MAX: usize = 120;

/// A Rust file is one idea, and one idea is short.
pub(super) fn rust_file(file: &File) -> Vec<Finding> {
    let Some(source) = &file.source else { return Vec::new() };
    let all = file.text.lines().count();
    let code = if file.is_test() { 0 } else { all - source.test_line_count() };
    let fix = "split it by subject, one idea a file";
    let mut found = Vec::new();
    if code > CODE_MAX {
        let wrong = format!("{code} lines without tests, {CODE_MAX} are allowed");
        found.push(Finding::new(&file.path, 1, wrong, fix));
    }
    if all > FILE_MAX {
        let wrong = format!("{all} lines, {FILE_MAX} are allowed");
        found.push(Finding::new(&file.path, 1, wrong, fix));
    }
    found
}

/// Comments and texts are wrapped too; rustfmt leaves them alone. An address cannot be wrapped.
pub(super) fn long_lines(file: &File) -> Vec<Finding> {
    let in_test = |line| {
        file.is_test() || file.source.as_ref().is_some_and(|source| source.is_test_line(line))
    };
    let mut found = Vec::new();
    for (line, text) in (1..).zip(file.text.lines()) {
        let width = text.chars().count();
        let max = if text.contains('"') && in_test(line) { SAMPLE_LINE_MAX } else { LINE_MAX };
        if width > max && !text.contains("://") {
            let wrong = format!("{width} characters, {max} are allowed");
            found.push(Finding::new(&file.path, line, wrong, "wrap the line"));
        }
    }
    found
}

/// A crate's front page is documentation and re-exports; a folder's may hold its main types too.
pub(super) fn bodies_in_lib(file: &File) -> Vec<Finding> {
    let starts = |line: &str| {
        ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let forbidden = |line: &str| match file.name() {
        "lib.rs" => starts(line.trim_start()),
        "mod.rs" => starts(line),
        _ => false,
    };
    file.code_lines()
        .filter(|(_, line)| forbidden(line))
        .map(|(line, _)| {
            let wrong = format!("a function in {}", file.name());
            Finding::new(&file.path, line, wrong, "move it to the file named after its subject")
        })
        .collect()
}

/// A template that has to be scrolled is several partials.
pub(super) fn template(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    if !file.path.contains("/templates/") || lines <= TEMPLATE_MAX {
        return Vec::new();
    }
    let wrong = format!("{lines} lines, {TEMPLATE_MAX} are allowed in a template");
    vec![Finding::new(&file.path, 1, wrong, "move parts to partials")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_do_not_count_towards_the_smaller_limit() {
        let code = "fn a() {}\n".repeat(CODE_MAX);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(100));
        let good = File::new("crates/a/src/b.rs", &format!("{code}{tests}"));
        assert_eq!(rust_file(&good), []);
        let bad = File::new("crates/a/src/b.rs", &format!("fn b() {{}}\n{code}{tests}"));
        assert_eq!(rust_file(&bad).len(), 1);
    }

    #[test]
    fn a_test_file_has_the_larger_limit_alone() {
        let file = |lines| File::new("crates/a/tests/all.rs", &"\n".repeat(lines));
        assert_eq!(rust_file(&file(FILE_MAX)), []);
        assert_eq!(rust_file(&file(FILE_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_long_comment_is_found_and_an_address_is_not() {
        let long = "x".repeat(98);
        let text = format!("// {long}\n// see https://example.org/{long}\n// short\n");
        let lines: Vec<usize> =
            long_lines(&File::new("a.rs", &text)).into_iter().map(|f| f.line).collect();
        assert_eq!(lines, [1]);
    }

    #[test]
    fn a_sample_in_a_test_may_be_a_little_wider() {
        let line = |width| format!("\"{}\"\n", "x".repeat(width - 2));
        let count = |path, width| long_lines(&File::new(path, &line(width))).len();
        assert_eq!(count("crates/a/tests/all.rs", SAMPLE_LINE_MAX), 0);
        assert_eq!(count("crates/a/tests/all.rs", SAMPLE_LINE_MAX + 1), 1);
        assert_eq!(count("crates/a/src/b.rs", SAMPLE_LINE_MAX), 1);
    }

    #[test]
    fn functions_stand_neither_in_lib_nor_loose_in_mod() {
        let text = "impl A {\n    fn b() {}\n}\npub fn c() {}\n";
        assert_eq!(bodies_in_lib(&File::new("crates/a/src/lib.rs", text)).len(), 2);
        assert_eq!(bodies_in_lib(&File::new("crates/a/src/d/mod.rs", text)).len(), 1);
        assert_eq!(bodies_in_lib(&File::new("crates/a/src/d.rs", text)), []);
    }

    #[test]
    fn a_template_has_its_own_limit() {
        let long = "\n".repeat(TEMPLATE_MAX + 1);
        assert_eq!(template(&File::new("crates/server/templates/run.html", &long)).len(), 1);
        assert_eq!(template(&File::new("crates/server/src/run.rs", &long)), []);
    }
}
