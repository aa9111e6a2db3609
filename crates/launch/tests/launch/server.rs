//! The least of a control plane over HTTP: it gives assignments and writes events down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_model::worker_api::{Assignment, Report, ReportAnswer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A control plane that ends with the test.
pub(crate) struct Server {
    url: String,
    state: Arc<State>,
    accepting: AbortHandle,
}

struct State {
    assignments: Vec<Assignment>,
    given: AtomicUsize,
    kinds: watch::Sender<Vec<&'static str>>,
}

impl Server {
    pub(crate) async fn start(assignments: Vec<Assignment>) -> Self {
        Self::start_after(0, assignments).await
    }

    /// A control plane that hangs up on its first `hung_up` callers.
    pub(crate) async fn start_after(hung_up: usize, assignments: Vec<Assignment>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (given, kinds) = (AtomicUsize::new(0), watch::Sender::default());
        let state = Arc::new(State { assignments, given, kinds });
        let served = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            for _ in 0..hung_up {
                drop(listener.accept().await);
            }
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&served)));
            }
        });
        Self { url, state, accepting: accepting.abort_handle() }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn assignments_given(&self) -> usize {
        self.state.given.load(Ordering::SeqCst)
    }

    /// How many events of `kind` have come.
    pub(crate) fn count(&self, kind: &str) -> usize {
        count(&self.state.kinds.borrow(), kind)
    }

    /// Waits until `times` events of `kind` have come.
    pub(crate) async fn heard(&self, kind: &str, times: usize) {
        let mut kinds = self.state.kinds.subscribe();
        kinds.wait_for(|kinds| count(kinds, kind) >= times).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn count(kinds: &[&'static str], kind: &str) -> usize {
    kinds.iter().filter(|other| **other == kind).count()
}

/// Answers the requests of one connection.
async fn serve(stream: TcpStream, state: Arc<State>) {
    let mut stream = BufReader::new(stream);
    while let Some((line, head, body)) = request(&mut stream).await {
        let answer = state.answer(&line, &head, &body);
        let (status, body) = answer.map_or((404, "{}".to_owned()), |body| (200, body));
        let length = body.len();
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
        if stream.get_mut().write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The first line, the headers in lower case and the body of the next request.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, String, Vec<u8>)> {
    let mut first = String::new();
    if stream.read_line(&mut first).await.ok()? == 0 {
        return None;
    }
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ")?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
        head.extend([name.to_lowercase().as_str(), ": ", value, "\n"]);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((first, head, body))
}

impl State {
    fn answer(&self, line: &str, head: &str, body: &[u8]) -> Option<String> {
        assert!(head.contains("authorization: Bearer secret-token\n"), "{head}");
        assert!(head.contains("millstream-tenant: default\n"), "{head}");
        let path = line.split(' ').nth(1)?;
        let (run, what) = path.strip_prefix("/worker/v1/runs/")?.split_once('/')?;
        let assignment = self.assignments.iter().find(|a| a.run.to_string() == run)?;
        match what {
            "assignment" => {
                self.given.fetch_add(1, Ordering::SeqCst);
                return serde_json::to_string(assignment).ok();
            }
            "events" => {
                let report: Report = serde_json::from_slice(body).unwrap();
                assert_eq!(report.epoch, assignment.epoch);
                let kinds = report.events.iter().map(|event| event.body.kind());
                self.kinds.send_modify(|all| all.extend(kinds));
            }
            "beat" => {}
            _ => return None,
        }
        serde_json::to_string(&ReportAnswer { cancel: false }).ok()
    }
}
