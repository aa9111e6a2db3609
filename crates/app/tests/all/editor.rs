//! Definition files in an editor: the usual YAML language server, which editors start, reads the
//! schema that the binary writes. Where it is not installed the tests say so and end; in CI that
//! fails them.
//!
//! **Invariant.** Every answer is waited for with a limit, and no process outlives its test.

use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::installed;
use crate::project::Project;

/// The longest that one answer may take.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// The most messages that wait to be read.
const WAITING_MAX: usize = 1_000;

/// The language server; it is killed when this is dropped.
struct Editor {
    server: Child,
    messages: Receiver<Value>,
    settings: Value,
    next: u64,
}

impl Drop for Editor {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

impl Editor {
    /// Starts one that uses `schema` for every file; `None`, after a word to the reader, where
    /// there is none to start.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests has to see what was skipped")]
    fn open(schemas: &Value) -> Option<Self> {
        let Some(program) = installed("yaml-language-server") else {
            let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(!in_ci, "npm install --global yaml-language-server");
            eprintln!("skipped: npm install --global yaml-language-server");
            return None;
        };
        let mut server = Command::new(program)
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(server.stdout.take().unwrap());
        let (sender, messages) = sync_channel(WAITING_MAX);
        std::thread::spawn(move || {
            while let Some(message) = read(&mut out) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let settings = json!({
            "validate": true, "completion": true,
            "schemaStore": { "enable": false }, "schemas": schemas,
        });
        let mut editor = Self { server, messages, settings, next: 0 };
        let start = json!({ "processId": null, "rootUri": null, "capabilities": {} });
        editor.ask("initialize", &start);
        editor.tell("initialized", &json!({}));
        // The server then asks for the settings, and is answered by whatever waits first.
        editor.tell("workspace/didChangeConfiguration", &json!({ "settings": null }));
        editor.wait(|message| message["method"] == "workspace/configuration");
        Some(editor)
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        let input = self.server.stdin.as_mut().unwrap();
        write!(input, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        input.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        self.wait(|message| message["id"] == id && message.get("method").is_none())["result"].take()
    }

    /// The next message that `wanted` is true of; what the server asks is answered on the way.
    fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.messages.recv_timeout(ANSWER_MAX).unwrap();
            if message.get("method").is_some() && message.get("id").is_some() {
                let result = self.answer(&message);
                self.send(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }));
            }
            if wanted(&message) {
                return message;
            }
        }
    }

    /// What an editor says to a question of the server's: the settings, where it asks for them.
    fn answer(&self, question: &Value) -> Value {
        let items = question["params"]["items"].as_array().into_iter().flatten();
        let answers = items.map(|item| match item["section"].as_str() {
            Some("yaml") => self.settings.clone(),
            _ => Value::Null,
        });
        if question["method"] == "workspace/configuration" {
            answers.collect()
        } else {
            Value::Null
        }
    }

    /// Opens a file, and gives what the server finds wrong with it.
    fn problems(&mut self, uri: &str, text: &str) -> Vec<String> {
        let document = json!({ "uri": uri, "languageId": "yaml", "version": 1, "text": text });
        self.tell("textDocument/didOpen", &json!({ "textDocument": document }));
        let told = self.wait(|message| {
            message["method"] == "textDocument/publishDiagnostics"
                && message["params"]["uri"] == uri
        });
        let found = told["params"]["diagnostics"].as_array().unwrap();
        found.iter().map(|it| it["message"].as_str().unwrap().to_owned()).collect()
    }

    /// What the server offers where `text` has a `^`, by label.
    fn offered(&mut self, uri: &str, text: &str) -> Vec<String> {
        let (before, _) = text.split_once('^').unwrap();
        let line = before.matches('\n').count();
        let character = before.rsplit('\n').next().unwrap().chars().count();
        self.problems(uri, &text.replace('^', ""));
        let place = json!({
            "textDocument": { "uri": uri },
            "position": { "line": line, "character": character },
        });
        let answer = self.ask("textDocument/completion", &place);
        let items = answer["items"].as_array().or(answer.as_array()).unwrap();
        items.iter().map(|item| item["label"].as_str().unwrap().to_owned()).collect()
    }
}

fn read(from: &mut impl std::io::BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|count| *count > 0)?;
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", count)) => length = count.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

/// A project with the schema, as the command writes it.
fn with_schema() -> (Project, PathBuf) {
    let project = Project::new();
    let outcome = project.run(&["schema"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    project.write("definition.schema.json", &outcome.out);
    let path = project.path("definition.schema.json");
    (project, path)
}

/// A language server that takes the schema for every file.
fn for_all_files(schema: &Path) -> Option<Editor> {
    Editor::open(&json!({ format!("file://{}", schema.display()): "*" }))
}

#[test]
fn an_editor_offers_the_keys_of_a_step_of_its_kind() {
    let (_project, schema) = with_schema();
    let Some(mut editor) = Editor::open(&json!({})) else { return };
    let first = format!("# yaml-language-server: $schema=file://{}\n", schema.display());
    let mut offered = |name: &str, text: &str| {
        editor.offered(&format!("file:///{name}.yaml"), &format!("{first}{text}"))
    };

    let keys = offered("step", "assets:\n  orders:\n    step:\n      kind: sql\n      ^\n");
    for key in ["resource", "statements", "read", "params", "rows", "read_only"] {
        assert!(keys.iter().any(|it| it == key), "{key} is not among {keys:?}");
    }
    assert!(!keys.iter().any(|it| it == "command"), "{keys:?}");

    let keys = offered("node", "nodes:\n  - id: a\n    type: command\n    config:\n      ^\n");
    for key in ["command", "env", "cwd", "timeout", "retry"] {
        assert!(keys.iter().any(|it| it == key), "{key} is not among {keys:?}");
    }
    let kinds = offered("kind", "assets:\n  orders:\n    step:\n      kind: ^\n");
    assert!(kinds.iter().any(|it| it == "lambda"), "{kinds:?}");
    let sections = offered("top", "^\n");
    for key in ["assets", "jobs", "nodes"] {
        assert!(sections.iter().any(|it| it == key), "{key} is not among {sections:?}");
    }
}

#[test]
fn an_editor_finds_nothing_wrong_with_files_that_load() {
    let (_project, schema) = with_schema();
    let Some(mut editor) = for_all_files(&schema) else { return };
    let files = good_files();
    assert!(files.len() >= 16, "only {} files were found", files.len());
    for (name, text) in files {
        let problems = editor.problems(&format!("file:///{name}"), &text);
        assert!(problems.is_empty(), "{name}: {problems:#?}");
    }
}

#[test]
fn an_editor_marks_what_the_keys_and_types_of_a_file_tell() {
    /// What only a reading of the whole can tell: aliases, references, circles, names, times,
    /// paths and SQL.
    const BEYOND: &[&str] = &[
        "08_", "09_", "17_", "19_", "21_", "26_", "27_", "32_", "33_", "36_", "37_", "38_", "40_",
        "42_", "43_", "45_", "47_", "50_", "52_", "53_", "54_", "61_",
    ];
    let (_project, schema) = with_schema();
    let Some(mut editor) = for_all_files(&schema) else { return };
    let (mut marked, mut unmarked) = (0, Vec::new());
    for (name, text) in files_of("crates/definition/tests/bad") {
        let strict_json = ["04_", "05_", "06_"].iter().any(|number| name.contains(number));
        let is_beyond = BEYOND.iter().any(|number| name.contains(&format!("/{number}")));
        if is_beyond || strict_json || text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let problems = editor.problems(&format!("file:///{name}"), &text);
        if problems.is_empty() {
            unmarked.push(name);
        }
        marked += 1;
    }
    assert!(unmarked.is_empty(), "nothing is marked in {unmarked:?}");
    assert!(marked > 20, "only {marked} files were marked");
}

/// The files of the examples, the samples, and the blocks of the reference.
fn good_files() -> Vec<(String, String)> {
    let mut files = files_of("crates/definition/tests/good");
    for folder in ["examples/cascade/dags", "examples/asset_manager/dags"] {
        files.extend(files_of(folder));
    }
    let page = std::fs::read_to_string(root().join("docs/reference/definition-files.md")).unwrap();
    for (number, block) in page.split("```").skip(1).step_by(2).enumerate() {
        if let Some((_, text)) = block.split_once('\n')
            && (block.starts_with("yaml") || block.starts_with("json"))
        {
            files.push((format!("reference/{number}.yaml"), text.to_owned()));
        }
    }
    files
}

/// The definition files of a folder, by their path from the project's root.
fn files_of(folder: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<(String, String)> = entries
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let text = String::from_utf8(std::fs::read(&path).unwrap()).ok()?;
            let name = path.file_name()?.to_str()?.to_owned();
            Some((format!("{folder}/{name}"), text))
        })
        .filter(|(name, _)| name.ends_with("json") || name.ends_with("yaml"))
        .collect();
    files.sort();
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
