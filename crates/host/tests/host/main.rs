//! The sources that are pinned, and what the Python side costs to begin with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

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
    assert_eq!(store.pin().unwrap().hash, old.hash, "nothing has changed");
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
        (".env", "LEVEL=3"),
        (".git/config", ""),
        ("venv/pyvenv.cfg", ""),
        ("venv/lib/big.py", ""),
    ];
    let (folder, store) = project(&files);
    let code = store.pin().unwrap();
    let read = |name: &str| std::fs::read_to_string(code.root.join(name));
    assert_eq!(read("query.sql").unwrap(), "select 1");
    assert_eq!(read("data/rows.csv").unwrap(), "a,b");
    assert_eq!(read(".env").unwrap(), "LEVEL=3");
    assert!(!code.root.join(".git").exists());
    assert!(code.root.join("venv").is_symlink());
    write(folder.path(), "project/query.sql", "select 2");
    assert_eq!(store.pin().unwrap().hash, code.hash);
    assert_eq!(read("query.sql").unwrap(), "select 2");
}

#[test]
fn a_copy_is_ready_until_something_is_added_beside_its_files() {
    let (folder, store) = project(&[("pkg/tasks.py", "")]);
    let code = store.pin().unwrap();
    for touched in ["project", "project/pkg"] {
        let old = SystemTime::now() - Duration::from_mins(1);
        std::fs::File::open(folder.path().join(touched)).unwrap().set_modified(old).unwrap();
    }
    assert!(store.ready(&code.hash).is_none(), "the folders were changed just before the look");
    store.find(&code.hash).unwrap().unwrap();
    let ready = store.ready(&code.hash).unwrap();
    assert_eq!((&ready.root, &ready.set), (&code.root, &code.set));

    write(folder.path(), "project/pkg/rows.csv", "a,b");
    assert!(store.ready(&code.hash).is_none());
    store.find(&code.hash).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(code.root.join("pkg/rows.csv")).unwrap(), "a,b");

    std::fs::remove_dir_all(folder.path().join("code")).unwrap();
    assert!(store.ready(&code.hash).is_none());
    assert!(store.find(&code.hash).unwrap().is_none());
    assert_eq!(store.pin().unwrap().root, code.root, "it is made anew");
    assert!(code.root.join("pkg/rows.csv").exists(), "with its links");
}

#[test]
fn a_copy_that_was_half_removed_is_made_anew() {
    let (folder, store) = project(&[("tasks.py", "x = 1"), ("more.py", "y = 2")]);
    let code = store.pin().unwrap();
    for harm in ["tasks.py", "more.py"] {
        let file = code.root.join(harm);
        std::fs::remove_file(&file).unwrap();
        if harm == "more.py" {
            std::fs::write(&file, "").unwrap();
        }
        let later = CodeStore::new(folder.path().join("code"), folder.path().join("project"));
        assert_eq!(later.pin().unwrap().root, code.root);
        assert!(!std::fs::read(&file).unwrap().is_empty(), "{harm}");
    }
}

#[test]
fn python_files_that_came_later_are_no_part_of_a_copy() {
    let (folder, store) = project(&[("tasks.py", ""), ("util.py", "")]);
    let code = store.pin().unwrap();
    write(folder.path(), "shared/elsewhere/__init__.py", "");
    write(folder.path(), "project/util/__init__.py", "");
    write(folder.path(), "project/newer/mod.py", "");
    write(folder.path(), "project/data/rows.csv", "");
    let shared = folder.path().join("shared/elsewhere");
    std::os::unix::fs::symlink(&shared, folder.path().join("project/elsewhere")).unwrap();
    std::os::unix::fs::symlink(&shared, folder.path().join("project/tasks")).unwrap();
    store.find(&code.hash).unwrap().unwrap();
    let there = ["util", "newer", "tasks", "data", "elsewhere"];
    let there = there.map(|name| code.root.join(name).exists());
    assert_eq!(there, [false, false, false, true, true], "a link is no part of any version");
}

#[test]
fn a_folder_that_nobody_may_read_or_that_is_gone_holds_no_package() {
    let (folder, store) = project(&[("tasks.py", ""), ("pgdata/base/a.py", "")]);
    let closed = folder.path().join("project/pgdata");
    std::fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    // Whoever may read everything reads this too.
    let is_read = std::fs::read_dir(&closed).is_ok();
    let found = store.pin().map(|code| code.set.files.len());
    std::fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(found.unwrap(), if is_read { 2 } else { 1 });
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
