//! The stand-in for AWS of `examples/cascade`, as a process of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The keys that the stand-in knows.
const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", "s3")];

/// The example's stand-in for AWS, until it is dropped.
pub(crate) struct Aws {
    process: Child,
    url: String,
}

impl Aws {
    /// One whose functions fail as often as `failures` says.
    pub(crate) fn start(failures: &str) -> Self {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cascade/aws_stand_in.py");
        let mut process = Command::new("python3")
            .arg(script)
            .envs(KEYS)
            .env("CASCADE_FAILURES", failures)
            .env("CASCADE_SEED", "7")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { process, url: url.trim().to_owned() }
    }

    /// What a server needs to find it, and a bucket there.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let keys = KEYS.map(|(name, value)| (name, value.to_owned()));
        let place =
            [("AWS_ENDPOINT_URL", self.url.clone()), ("CASCADE_S3_BUCKET", "artifacts".to_owned())];
        keys.into_iter().chain(place).collect()
    }

    /// The JSON at `path`.
    pub(crate) fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: aws\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
