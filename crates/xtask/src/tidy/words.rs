//! One noun for a thing: the glossary is whole, and the words it rules out are not in the code.

use super::Finding;
use super::tree::File;

/// Where the words are explained.
pub(super) const GLOSSARY: &str = "docs/glossary.md";

/// The words that the glossary explains, one line each.
const WORDS: &[&str] = &[
    "Asset",
    "AssetKey",
    "AssetGraph",
    "AssetSelection",
    "Partition",
    "PartitionKey",
    "PartitionsDefinition",
    "Materialization",
    "Observation",
    "AssetCheck",
    "FreshnessPolicy",
    "AutomationCondition",
    "Job",
    "Op",
    "Step",
    "StepAttempt",
    "Run",
    "RunRequest",
    "RunPlan",
    "RunStatus",
    "Event",
    "Cause",
    "Schedule",
    "Sensor",
    "Tick",
    "Cursor",
    "RunKey",
    "Backfill",
    "Queue",
    "ConcurrencyPool",
    "Launcher",
    "Worker",
    "IoManager",
    "Resource",
    "Secret",
    "AlertRule",
    "Alert",
    "Tenant",
    "CodeLocation",
    "DefinitionFile",
    "Manifest",
    "Caller",
    "Role",
    "Grant",
    "AuditEntry",
];

/// Words of other systems, and what is said here instead.
const SYNONYMS: &[(&str, &str)] = &[
    ("dag", "Job"),
    ("pipeline", "Job"),
    ("workflow", "Job"),
    ("flow", "Job"),
    ("task", "Step"),
    ("execution", "Run or StepAttempt"),
];

/// Identifiers that may hold such a word, and why.
const ALLOWED: &[(&str, &str)] = &[
    ("loaded_dags", "a field of document 004's status"),
    ("dag_count", "a field of document 004's status"),
    ("dags", "document 004's folder of definition files"),
    ("DAGS", "document 004's folder of definition files"),
    ("DAGS_DIR", "a variable of document 004"),
    ("DAGS_ENABLED", "a variable of document 004"),
    ("DAGS_SCAN_INTERVAL", "a variable of document 004"),
    ("task_id", "a template name of document 004"),
    ("ControlFlow", "a type of the standard library"),
];

/// Every word has exactly one line, and every ruled-out word is in the table of synonyms.
pub(super) fn glossary(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for word in WORDS {
        let start = format!("- **{word}**:");
        let count = text.lines().filter(|line| line.starts_with(&start)).count();
        if count != 1 {
            let wrong = format!("{word} has {count} lines");
            found.push(Finding::new(GLOSSARY, 1, wrong, format!("give it one line, `{start} …`")));
        }
    }
    for (synonym, word) in SYNONYMS {
        if !text.lines().any(|line| line.starts_with(&format!("| {synonym} |"))) {
            let wrong = format!("`{synonym}` is not in the table of words not used");
            found.push(Finding::new(GLOSSARY, 1, wrong, format!("add a row that says {word}")));
        }
    }
    found
}

/// No identifier says another system's word for one of ours.
pub(super) fn identifiers(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, text) in file.code_lines().chain(file.test_lines()) {
        // tokio's own word for what it schedules, which is none of ours.
        if ["tokio", "task::", "task.await"].iter().any(|own| text.contains(own)) {
            continue;
        }
        for identifier in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
            if let Some((synonym, word)) = synonym_in(identifier) {
                let wrong = format!("`{identifier}` says {synonym}");
                let fix = format!("say {word}, as {GLOSSARY} does");
                found.push(Finding::new(&file.path, line, wrong, fix));
            }
        }
    }
    found
}

fn synonym_in(identifier: &str) -> Option<(&'static str, &'static str)> {
    if ALLOWED.iter().any(|(allowed, _)| *allowed == identifier) {
        return None;
    }
    let parts = parts(identifier);
    let matches = |synonym: &str| {
        parts.iter().any(|part| part == synonym || part.strip_suffix('s') == Some(synonym))
    };
    SYNONYMS.iter().copied().find(|(synonym, _)| matches(synonym))
}

/// The words of an identifier in lower case: `RunDagList` and `run_dag_list` have the same.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut after_lower = false;
    for character in identifier.chars() {
        if character == '_' || (character.is_uppercase() && after_lower) {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut().filter(|_| character != '_') {
            last.extend(character.to_lowercase());
        }
        after_lower = character.is_lowercase();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_without_a_line_or_with_two_is_found() {
        let mut text = String::new();
        for word in WORDS {
            text.extend([
                "- **",
                word,
                "**: A thing.
",
            ]);
        }
        for (synonym, word) in SYNONYMS {
            text.extend([
                "| ", synonym, " | ", word, " |
",
            ]);
        }
        assert_eq!(glossary(&text), []);
        assert_eq!(glossary(&text.replace("- **Run**:", "- Run:")).len(), 1);
        assert_eq!(glossary(&format!("{text}- **Run**: Again.\n")).len(), 1);
        assert_eq!(glossary(&text.replace("| dag |", "| graph |")).len(), 1);
    }

    #[test]
    fn another_systems_word_is_found_in_every_spelling() {
        let check = |text| identifiers(&File::new("crates/a/src/b.rs", text)).len();
        for bad in ["struct DagRun;", "let task_list = 1;", "fn pipelines() {}", "MAX_TASKS"] {
            assert_eq!(check(bad), 1, "{bad}");
        }
        for good in
            ["let overflow = 1;", "tokio::task::spawn(x)", "\"a dag\"", "// a task", "loaded_dags"]
        {
            assert_eq!(check(good), 0, "{good}");
        }
    }
}
