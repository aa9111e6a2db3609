//! The reference page: its examples load, fit together, and name every key there is.

use millstream_definition::{
    LocationFile, ParsedFile, Version, check_location, file_hash, parse_file,
};
use millstream_model::{ContentHash, Diagnostic};

const PAGE: &str = include_str!("../../../../docs/reference/definition-files.md");

/// The fenced blocks of `yaml` and `json`, named by their place on the page.
fn examples() -> Vec<(String, String)> {
    let mut examples = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in PAGE.lines() {
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
    let examples = examples();
    assert!(examples.len() >= 12, "only {} examples were found", examples.len());
    let files: Vec<(&str, ParsedFile, ContentHash)> = examples
        .iter()
        .map(|(name, text)| {
            let parsed = parse_file(name, text.as_bytes());
            assert_eq!(parsed.diagnostics, [], "{text}");
            let hash = file_hash(parsed.manifest.as_ref().unwrap());
            (name.as_str(), parsed, hash)
        })
        .collect();
    let location: Vec<LocationFile<'_>> = files
        .iter()
        .map(|(name, parsed, hash)| LocationFile {
            name,
            newest: Some(Version {
                hash,
                manifest: parsed.manifest.as_ref().unwrap(),
                places: Some(&parsed.places),
            }),
            live: None,
        })
        .collect();
    let check = check_location("docs".parse().unwrap(), &location);
    assert_eq!(check.diagnostics, Vec::<Diagnostic>::new());
}
