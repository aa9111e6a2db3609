//! What commands tell of what is off, kept, waits and was made, in which order.

use crate::project::Project;

const JOBS: &str = r#"
tenants: { t1: { enabled: false }, t2: {} }
jobs:
  two:
    nodes:
      - { id: a, type: command, config: { command: "echo said by a" } }
      - { id: b, type: command, depends_on: [a], config: { command: "test -e mended" } }
schedules: { nightly: { cron: "0 2 * * *", job: two } }
"#;

#[test]
fn of_a_tenant_that_is_off_lists_and_reasons_say_that_it_is() {
    let project = Project::with(JOBS);
    let words = "This tenant is off: nothing is started for it.";
    for list in ["job", "schedule", "sensor"] {
        let said = |tenant| project.run(&[list, "list", "--tenant", tenant]).err;
        assert!(said("t1").contains(words), "{list}: {}", said("t1"));
        assert!(!said("t2").contains(words), "{list}: {}", said("t2"));
    }
    let why = project.run(&["why", "two", "--tenant", "t1"]).out;
    assert!(why.contains(words), "{why}");
    assert!(project.run(&["why", "two", "--tenant", "t2"]).out.contains("It is on"));
}
