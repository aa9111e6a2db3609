//! The sources that are pinned, and what the Python side costs to begin with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use millstream_host::{CodeError, CodeStore, Interpreters, Shim};
use millstream_model::Isolation;
use tempfile::TempDir;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn project(files: &[(&str, &str)]) -> (TempDir, CodeStore) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    for (name, text) in files {
        write(&root, name, text);
    }
    let store = CodeStore::new(folder.path().join("code"), root);
    (folder, store)
}

#[test]
fn a_version_is_a_copy_that_a_change_does_not_touch() {
    let (folder, store) = project(&[("tasks.py", "old"), ("pkg/mod.py", "1")]);
    let old = store.pin().unwrap();
    assert_eq!(store.pin().unwrap(), old, "nothing has changed");
    write(folder.path(), "project/tasks.py", "new, and longer");
    let new = store.pin().unwrap();
    assert_ne!(new.hash, old.hash);
    assert_eq!(std::fs::read_to_string(old.root.join("tasks.py")).unwrap(), "old");
    assert_eq!(std::fs::read_to_string(new.root.join("tasks.py")).unwrap(), "new, and longer");
    assert_eq!(std::fs::read_to_string(new.root.join("pkg/mod.py")).unwrap(), "1");
    write(folder.path(), "project/tasks.py", "old");
    assert_eq!(store.pin().unwrap().hash, old.hash, "the content is the version");
}

#[test]
fn what_is_no_source_is_linked_or_left_out_and_no_part_of_the_version() {
    let files = [
        ("tasks.py", ""),
        ("query.sql", "select 1"),
        ("data/rows.csv", "a,b"),
        (".hidden/secret.py", ""),
        ("venv/pyvenv.cfg", ""),
        ("venv/lib/big.py", ""),
    ];
    let (folder, store) = project(&files);
    let code = store.pin().unwrap();
    let read = |name: &str| std::fs::read_to_string(code.root.join(name));
    assert_eq!(read("query.sql").unwrap(), "select 1");
    assert_eq!(read("data/rows.csv").unwrap(), "a,b");
    assert!(!code.root.join(".hidden").exists());
    assert!(code.root.join("venv").is_symlink());
    write(folder.path(), "project/query.sql", "select 2");
    assert_eq!(store.pin().unwrap(), code);
    assert_eq!(read("query.sql").unwrap(), "select 2");
}

#[test]
fn sources_beyond_the_limit_are_refused_with_a_way_out() {
    let large = "#".repeat(33 << 20);
    let (_folder, store) = project(&[("a.py", &large), ("b.py", &large)]);
    let error = store.pin().unwrap_err();
    assert!(matches!(error, CodeError::TooMuch { .. }), "{error}");
    assert!(error.to_string().contains("keep data"), "{error}");
}

fn python() -> String {
    std::env::var("MILLSTREAM_PYTHON").unwrap_or_else(|_| "/usr/bin/python3".to_owned())
}

#[tokio::test]
async fn an_interpreter_is_asked_for_its_program_and_what_is_none_is_refused() {
    let interpreters = Interpreters::default();
    let env = std::env::vars().collect();
    let found = interpreters.find(&python(), &env, Path::new("/")).await.unwrap();
    assert!(found.is_absolute() && found.exists(), "{}", found.display());
    let error = interpreters.find("/bin/echo", &env, Path::new("/")).await.unwrap_err();
    assert!(error.to_string().contains("cannot use \"/bin/echo\""), "{error}");
}

/// The modules that a program imports, without those that Python has anyway.
fn imported(arguments: &[String], folder: &Path) -> BTreeSet<String> {
    let mut command = Command::new(python());
    command.args(["-X", "importtime"]).args(arguments);
    let output = command.env("MILLSTREAM_CONTEXT", folder.join("context")).output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    let names = said.lines().filter_map(|line| Some(line.rsplit_once('|')?.1.trim().to_owned()));
    names.filter(|name| name != "imported package").collect()
}

#[test]
fn the_python_side_imports_nothing_but_json_and_itself() {
    let folder = tempfile::tempdir().unwrap();
    let shim = Shim::install(folder.path()).unwrap();
    Shim::install(folder.path()).unwrap();
    write(folder.path(), "tasks.py", "def add(left, right=2): return left + right\n");
    write(folder.path(), "context", r#"{"config": {}, "params": {"left": 1}}"#);
    let answer = folder.path().join("answer");
    let call = [folder.path().as_os_str(), "tasks.py".as_ref(), "add".as_ref(), answer.as_os_str()];
    let ours = imported(&shim.arguments(Isolation::Process, &call), folder.path());
    assert_eq!(std::fs::read_to_string(answer).unwrap(), "{\"returned\": 3}\n");
    let bare: Vec<String> = ["-I", "-c", "import gc, json"].map(str::to_owned).to_vec();
    let bare = imported(&bare, folder.path());
    let more: BTreeSet<&str> = ours.difference(&bare).map(String::as_str).collect();
    assert_eq!(more, ["millstream", "millstream._call", "millstream._host"].into());
}
