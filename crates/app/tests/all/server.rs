//! A running `millstream dev`, and requests to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};

use serde_json::Value;

use crate::process;
use crate::project::{Project, wait_for};

/// The server of a project; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where its pages are: host and port.
    pub(crate) address: String,
}

impl Project {
    /// Starts a server on a port of its own and waits until it is ready.
    pub(crate) fn serve(&self) -> Server {
        self.serve_on(0)
    }

    /// Starts a server on `port` and waits until it is ready.
    pub(crate) fn serve_on(&self, port: u16) -> Server {
        let server = self.start_server(port);
        wait_for("the server is ready", || {
            let (status, _) = server.try_get("/ready")?;
            (status == 200).then_some(())
        });
        server
    }

    /// Starts a server and waits for its address alone; one that is killed before it serves has
    /// none.
    pub(crate) fn start_server(&self, port: u16) -> Server {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log"));
        let mut child = self
            .command(&["dev", "--port", &port.to_string()])
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("Serving on http://").map(str::to_owned);
        if address.is_none() {
            let ended = child.wait().unwrap();
            assert!(ended.signal().is_some(), "it does not start: {line:?} {}", self.read("log"));
        }
        Server { child, address: address.unwrap_or_default() }
    }
}

impl Server {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        process::terminate(self.child.id());
        wait_for("the server ends", || self.child.try_wait().unwrap())
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The JSON at `path`.
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.try_get(path).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The JSON that answers `body`, sent to `path`.
    pub(crate) fn post(&self, path: &str, body: &str) -> Value {
        let head = format!(
            "POST {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let (status, answer) = self.ask(&head).unwrap();
        assert!(matches!(status, 200 | 201), "{path}: {status} {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// What is answered at `path`; `None` where nobody answers.
    pub(crate) fn try_get(&self, path: &str) -> Option<(u16, String)> {
        self.ask(&format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address))
    }

    fn ask(&self, request: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, body.to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
