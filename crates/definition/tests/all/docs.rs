//! The reference pages: their examples load and fit together.

use millstream_model::ErrorCode;

use crate::location::check_new;

const PAGE: &str = include_str!("../../../../docs/reference/definition-files.md");
const SENSORS: &str = include_str!("../../../../docs/reference/sensors.md");
const SCHEDULES: &str = include_str!("../../../../docs/reference/schedules.md");
const IO: &str = include_str!("../../../../docs/reference/io-managers.md");
const HTTP: &str = include_str!("../../../../docs/reference/http-steps.md");
const TEMPLATE: &str = include_str!("../../../../docs/errors/definition-template.md");
const FAILURES: &str = include_str!("../../../../docs/concepts/failures.md");

/// The fenced blocks of `yaml` and `json`, named by their place on the page.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut examples = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in page.lines() {
        match (&mut open, line) {
            (None, "```yaml") => open = Some(("yaml", String::new())),
            (None, "```json") => open = Some(("json", String::new())),
            (Some(_), "```") => {
                let (extension, text) = open.take().unwrap();
                examples.push((format!("example_{}.{extension}", examples.len()), text));
            }
            (Some((_, text)), line) => text.extend([line, "\n"]),
            (None, _) => {}
        }
    }
    examples
}

#[test]
fn every_example_of_the_reference_loads_and_they_fit_together() {
    let examples = examples(PAGE);
    assert!(examples.len() >= 12, "only {} examples were found", examples.len());
    let files: Vec<(&str, &str)> =
        examples.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(check_new(&files).diagnostics, []);
}

#[test]
fn the_example_of_the_page_on_io_managers_loads() {
    let examples = examples(IO);
    let [(name, text)] = examples.as_slice() else { panic!("{examples:?}") };
    assert_eq!(check_new(&[(name.as_str(), text.as_str())]).diagnostics, []);
}

#[test]
fn the_example_of_the_page_on_http_steps_loads() {
    let examples = examples(HTTP);
    let [(name, text)] = examples.as_slice() else { panic!("{examples:?}") };
    assert_eq!(check_new(&[(name.as_str(), text.as_str())]).diagnostics, []);
}

#[test]
fn the_example_of_the_page_on_schedules_loads() {
    let examples = examples(SCHEDULES);
    let [(name, text)] = examples.as_slice() else { panic!("{examples:?}") };
    assert_eq!(check_new(&[(name.as_str(), text.as_str())]).diagnostics, []);
}

#[test]
fn the_example_of_the_page_on_failures_loads() {
    let examples = examples(FAILURES);
    let [(name, text)] = examples.as_slice() else { panic!("{examples:?}") };
    let orders = ("orders.yaml", "assets: { orders: { step: { kind: noop } } }");
    assert_eq!(check_new(&[(name.as_str(), text.as_str()), orders]).diagnostics, []);
}

#[test]
fn the_example_of_the_page_on_sensors_loads() {
    let examples = examples(SENSORS);
    let [(name, text)] = examples.as_slice() else { panic!("{examples:?}") };
    assert_eq!(check_new(&[(name.as_str(), text.as_str())]).diagnostics, []);
}

#[test]
fn the_example_of_the_page_on_templates_that_are_refused_is_refused() {
    let examples = examples(TEMPLATE);
    let [(name, text)] = examples.as_slice() else { panic!("{examples:?}") };
    let found = check_new(&[(name.as_str(), text.as_str())]).diagnostics;
    assert!(found.iter().any(|it| it.code == ErrorCode::DefinitionTemplate), "{found:#?}");
}
