//! A server of S3 that is not ours: moto, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The server, until it is dropped.
pub(crate) struct S3 {
    process: Child,
    python: PathBuf,
    pub(crate) url: String,
}

/// The keys that it takes from whoever asks.
pub(crate) const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
    ("AWS_SECRET_ACCESS_KEY", "s3"),
    ("AWS_REGION", "us-east-1"),
];

impl S3 {
    /// A server with an empty bucket `lake`; without moto it says so, and fails where `CI` is set.
    #[expect(clippy::print_stderr, reason = "this is how a test says that it did not run")]
    pub(crate) fn start() -> Option<Self> {
        let Some(python) = std::env::var_os("TEST_S3_PYTHON").map(PathBuf::from) else {
            let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!is_ci, "TEST_S3_PYTHON is not set, and CI runs every test");
            eprintln!("skipped: set TEST_S3_PYTHON to a Python with `pip install moto[s3,server]`");
            return None;
        };
        let mut process = Command::new(&python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let url = said.find_map(|line| {
            line.unwrap().split_once("Running on ").map(|(_, url)| url.trim().to_owned())
        });
        // It says a line for each request, which somebody has to read.
        std::thread::spawn(move || said.for_each(drop));
        let server = Self { process, python, url: url.unwrap() };
        server.script("s3.create_bucket(Bucket='lake')");
        Some(server)
    }

    /// Runs lines of Python that see the bucket's client as `s3`.
    pub(crate) fn script(&self, lines: &str) {
        let client = "import boto3, os\ns3 = boto3.client('s3', endpoint_url=os.environ['URL'])\n";
        let output = Command::new(&self.python)
            .args(["-c", &format!("{client}{lines}")])
            .envs(KEYS)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("URL", &self.url)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
