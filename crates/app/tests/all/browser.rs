//! The pages in a real Chromium, which Debian's `chromedriver` drives. Where one of them is not
//! installed the tests say so and end; in CI that fails them.
//!
//! **Invariant.** Every answer is waited for with a limit, and no process outlives its test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process;
use crate::project::{Project, wait_for};

/// The longest that one command to the browser may take.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// The longest that ending a session may take; its processes are killed after it anyway.
const END_MAX: Duration = Duration::from_secs(5);

/// What keeps the browser to itself.
const ARGUMENTS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// The name that the protocol gives to an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser at a time; several would starve the servers that the other tests run.
static TURN: Mutex<()> = Mutex::new(());

/// The next port to try, below those that the system gives to clients.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// Whether pages may run scripts.
#[derive(Clone, Copy)]
enum Scripts {
    Run,
    Blocked,
}

/// A browser with a profile of its own; it is killed when this is dropped.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Opens one; `None`, after a word to the reader, where there is none to open.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests has to see what was skipped")]
    fn open(scripts: Scripts) -> Option<Self> {
        let (Some(driver), Some(chromium)) = (installed("chromedriver"), installed("chromium"))
        else {
            let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(!in_ci, "install chromium-driver");
            eprintln!("skipped: install chromium-driver");
            return None;
        };
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = tempfile::tempdir().unwrap();
        let port = free_port();
        let driver = Command::new(driver)
            .arg(format!("--port={port}"))
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let session = String::new();
        let mut browser = Self { driver, port, session, profile, _turn: turn };
        wait_for("chromedriver is ready", || {
            let answer = browser.ask("GET", "/status", &Value::Null, END_MAX)?;
            (answer["ready"] == true).then_some(())
        });
        let wishes = browser.wishes(&chromium, scripts);
        let opened = browser.ask("POST", "/session", &wishes, ANSWER_MAX).unwrap();
        browser.session = opened["sessionId"].as_str().unwrap_or_else(|| panic!("{opened}")).into();
        Some(browser)
    }

    /// What is asked of a new session.
    fn wishes(&self, chromium: &Path, scripts: Scripts) -> Value {
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).into();
        arguments.push(format!("--user-data-dir={}", self.profile.path().display()));
        let preferences = match scripts {
            Scripts::Run => json!({}),
            Scripts::Blocked => {
                json!({ "profile.managed_default_content_settings.javascript": 2 })
            }
        };
        json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": chromium, "args": arguments, "prefs": preferences },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": 30_000, "script": 10_000 },
        } } })
    }

    /// Opens a page and waits until it is loaded.
    fn go(&self, address: &str) {
        self.post("url", &json!({ "url": address }));
    }

    /// The address of the page.
    fn address(&self) -> String {
        self.command("GET", "url", &Value::Null).as_str().unwrap().to_owned()
    }

    /// What a function with this body returns in the page.
    fn evaluate(&self, body: &str) -> Value {
        self.post("execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// The text that a reader sees in the first element that `selector` finds.
    fn text(&self, selector: &str) -> String {
        let path = format!("element/{}/text", self.element("css selector", selector));
        self.command("GET", &path, &Value::Null).as_str().unwrap().to_owned()
    }

    /// Presses the button with this text.
    fn press(&self, button: &str) {
        let found = self.element("xpath", &format!("//button[normalize-space()='{button}']"));
        self.post(&format!("element/{found}/click"), &json!({}));
    }

    /// The errors that the page logged since they were last read.
    fn errors(&self) -> Vec<Value> {
        let log = self.post("se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().unwrap().iter();
        entries.filter(|entry| entry["level"] == "SEVERE").cloned().collect()
    }

    fn element(&self, using: &str, selector: &str) -> String {
        let found = self.post("element", &json!({ "using": using, "value": selector }));
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("{selector}: {found}")).to_owned()
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        self.command("POST", command, body)
    }

    /// Sends a command of the session, which has to succeed.
    fn command(&self, method: &str, command: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{command}", self.session);
        let answer = self.ask(method, &path, body, ANSWER_MAX);
        let value = answer.unwrap_or_else(|| panic!("no answer to {command} {body}"));
        assert!(value["error"].is_null(), "{command} {body}: {value}");
        value
    }

    /// The `value` that the driver answers; `None` where nothing whole comes in time.
    fn ask(&self, method: &str, path: &str, body: &Value, limit: Duration) -> Option<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(limit)).ok()?;
        stream.set_write_timeout(Some(limit)).ok()?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let host = format!("127.0.0.1:{}", self.port);
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all((head + &body).as_bytes()).ok()?;
        // The driver leaves the connection open, whatever it is asked for.
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).ok()? > 0 && line != "\r\n" {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(serde_json::from_slice::<Value>(&body).ok()?["value"].take())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Nothing here may panic: the test may be failing already.
        if !self.session.is_empty() {
            self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null, END_MAX);
        }
        // The driver gives its own variables to the browser, so its home tells them from others.
        let home = format!("HOME={}", self.profile.path().display());
        for pid in process::with_variable(&home) {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                kill_process(pid, Signal::KILL).ok();
            }
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

/// Where a program is.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let spread = u16::try_from(std::process::id() % 10_000).unwrap();
    wait_for("a port is free", || {
        let port = 20_000 + (spread + NEXT_PORT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|_| port)
    })
}

const WAITER: &str = r"
jobs:
  waiter:
    nodes:
      - id: wait
        type: command
        config:
          command: |
            for turn in $(seq 3000); do
              if [ -e go ]; then echo found; exit 0; fi
              sleep 0.02
            done
            exit 1
      - id: after
        type: command
        depends_on: [wait]
        config:
          command: |
            for turn in $(seq 3000); do
              if [ -e on ]; then echo went on; exit 0; fi
              sleep 0.02
            done
            exit 1
";

#[test]
fn r202_the_page_of_a_live_run_changes_by_itself() {
    let Some(browser) = Browser::open(Scripts::Run) else { return };
    let project = Project::with(WAITER);
    let server = project.serve();
    let queued = project.json(&["job", "launch", "waiter", "--no-wait"]);
    let run = queued[0]["run_id"].as_str().unwrap();
    browser.go(&format!("http://{}/default/runs/{run}?tab=output", server.address));
    browser.evaluate("window.__mark = 1");
    let shows = |selector: &str, words: &str| {
        let text = format!("return document.querySelector('{selector}')?.innerText");
        wait_for(&format!("{selector} shows {words:?}"), || {
            browser.evaluate(&text).as_str()?.contains(words).then_some(())
        });
    };
    shows(".verdict", "Running");
    project.write("go", "");
    shows(".verdict", "1 of 2 steps over");
    project.write("on", "");
    // The output follows from step to step.
    shows("[data-log]", "went on");
    shows(".verdict", "Succeeded");
    assert_eq!(browser.evaluate("return window.__mark"), 1, "the page was not loaded again");
    assert_eq!(browser.errors(), Vec::<Value>::new());
}

const METRICS: &str = r#"
tenants:
  ewr: {}
  jfk: {}
partitions:
  tenant_metric:
    kind: dynamic
    dimensions: [tenant, metric]
    separator: "::"
    tenant: tenant
    keys: ["ewr::flights", "jfk::flights", "jfk::delay"]
assets:
  metric_values:
    partitions: tenant_metric
    step:
      kind: command
      command: echo said; echo '{"rows":3}' > "$MILLSTREAM_RESULT"
  metric_cache:
    deps: [metric_values]
    partitions: tenant_metric
    step: { kind: noop }
jobs:
  nightly:
    nodes:
      - { id: look, type: noop }
      - { id: act, type: noop, depends_on: [look] }
"#;

#[test]
fn no_page_breaks_its_content_policy_or_logs_an_error() {
    let Some(browser) = Browser::open(Scripts::Run) else { return };
    let project = Project::with(METRICS);
    let server = project.serve();
    let select = ["asset", "materialize", "--select", "metric_values", "--partition"];
    let run = project.json(&[&select[..], &["jfk::delay"]].concat());
    assert_eq!(run["status"], "SUCCESS", "{run}");
    let run_page = format!("/runs/{}", run["run_id"].as_str().unwrap());
    let pages = [
        "",
        "/runs",
        &run_page,
        "/assets",
        "/assets/metric_values",
        "/automation",
        "/jobs/nightly",
        "/system",
        "/system/tenants",
    ];
    for page in pages {
        browser.go(&format!("http://{}/jfk{page}", server.address));
        assert_eq!(browser.errors(), Vec::<Value>::new(), "{page}");
        // The style sheet was taken, and the script of the page has run.
        let sheets = browser.evaluate("return document.styleSheets[0].cssRules.length > 0");
        assert_eq!(sheets, true, "{page}");
    }

    // What breaks the policy is seen here: without this, silence would prove nothing.
    browser.evaluate("document.head.append(document.createElement('style'))");
    browser.evaluate("document.querySelector('style').textContent = 'a { color: red }'");
    let seen = browser.errors();
    assert!(seen.iter().any(|entry| entry.to_string().contains("style-src")), "{seen:?}");
}

#[test]
fn r001_the_front_page_shows_the_newest_run_without_scripts() {
    let Some(browser) = Browser::open(Scripts::Blocked) else { return };
    let project = Project::with("jobs: { tidy_up: { nodes: [{ id: look, type: noop }] } }");
    let server = project.serve();
    browser.go("data:text/html,<noscript>blocked</noscript>");
    assert_eq!(browser.text("body"), "blocked", "pages run no scripts here");

    let address = format!("http://{}/default", server.address);
    browser.go(&format!("{address}/jobs/tidy_up"));
    browser.press("Launch run");
    let landed = wait_for("the run's page opens", || {
        Some(browser.address()).filter(|now| now.starts_with(&format!("{address}/runs/")))
    });
    assert!(browser.text("h1").contains("tidy_up"), "{landed}");
    browser.go(&address);
    assert!(browser.text("table.runs").contains("tidy_up"), "{}", browser.text("main"));
}
