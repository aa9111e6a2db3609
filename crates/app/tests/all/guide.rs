//! The guides, followed as a newcomer would: their files are written, their lines for the shell are
//! run, and what it shows of their output has to be in it.
//!
//! A block of code after a line that ends with a path is that file. One of `sh` is run; after it,
//! one of `text` is its output, in which `…` stands for anything.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use crate::project::Project;

const FIRST_ASSET: &str = include_str!("../../../../docs/guide/first-asset.md");
const AUTOMATION: &str = include_str!("../../../../docs/guide/automation.md");

/// The port of the service that the guide starts; another one is taken here.
const PORT: &str = "8765";

/// Where a guide finds the server.
const SERVER: &str = "localhost:3000";

/// A block of code.
struct Block {
    /// What stands above it.
    above: String,
    language: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut above = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| *line != "```");
            let text: String = text.flat_map(|line| [line, "\n"]).collect();
            blocks.push(Block { above: above.clone(), language: language.to_owned(), text });
        } else if !line.is_empty() {
            line.clone_into(&mut above);
        }
    }
    blocks
}

/// Somebody who follows a guide.
struct Reader {
    project: Project,
    /// Where they are, relative to the project's folder.
    folder: PathBuf,
    servers: Vec<Child>,
    /// The port on which the guide's service listens here.
    port: String,
    /// Where the server is here.
    server: String,
    output: String,
}

impl Drop for Reader {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // It may have ended by itself.
            drop(server.kill());
            drop(server.wait());
        }
    }
}

impl Reader {
    fn new() -> Self {
        Self {
            project: Project::new(),
            folder: PathBuf::new(),
            servers: Vec::new(),
            port: PORT.to_owned(),
            server: SERVER.to_owned(),
            output: String::new(),
        }
    }

    fn follow(&mut self, block: &Block) {
        let text = block.text.replace(PORT, &self.port).replace(SERVER, &self.server);
        if let Some(path) = file_above(&block.above) {
            self.project.write(self.folder.join(path).to_str().unwrap(), &text);
        } else if block.language == "text" {
            self.compare(&text);
        } else if text.starts_with("python3 -m http.server") {
            let said = self.serve(&block.text.replace(PORT, "0"));
            let port = said.split(' ').skip_while(|word| *word != "port").nth(1);
            port.unwrap_or_else(|| panic!("{said}")).clone_into(&mut self.port);
        } else if text.contains("millstream dev") {
            let said = self.serve(&format!("{} --port 0", text.trim()));
            let address = said.trim().strip_prefix("Serving on http://");
            address.unwrap_or_else(|| panic!("{said}")).clone_into(&mut self.server);
        } else {
            assert_eq!(block.language, "sh", "{text}");
            self.run(&text);
        }
    }

    /// Runs lines to their end, and goes where they went.
    fn run(&mut self, lines: &str) {
        let folder = self.project.path(self.folder.to_str().unwrap());
        let lines_and_place = format!("{lines}echo; pwd");
        let Output { status, stdout, stderr } =
            self.project.shell(&lines_and_place).current_dir(folder).output().unwrap();
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(status.success(), "{lines}: {out}{err}");
        let (out, place) = out.trim_end().rsplit_once('\n').unwrap();
        let root = self.project.path("").canonicalize().unwrap();
        self.folder = Path::new(place).strip_prefix(root).unwrap().into();
        out.clone_into(&mut self.output);
    }

    /// Starts what goes on, and returns the first line that it says.
    fn serve(&mut self, line: &str) -> String {
        let folder = self.project.path(self.folder.to_str().unwrap());
        let mut server = self
            .project
            .shell(&format!("exec {line}"))
            .current_dir(folder)
            .env("PYTHONUNBUFFERED", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = server.stdout.take().unwrap();
        self.servers.push(server);
        let mut said = String::new();
        BufReader::new(out).read_line(&mut said).unwrap();
        said
    }

    /// Looks for what the guide shows, line by line, in what was said.
    fn compare(&self, shown: &str) {
        let mut said = self.output.lines();
        for shown in shown.lines() {
            assert!(
                said.any(|said| is_like(said, shown)),
                "{shown:?} does not follow in:\n{}",
                self.output
            );
        }
    }
}

/// The file that a line above a block names at its end.
fn file_above(line: &str) -> Option<&str> {
    let (_, path) = line.strip_suffix("`:")?.rsplit_once('`')?;
    // A folder has no ending.
    path.contains('.').then_some(path)
}

/// Whether `said` has the parts of `shown` that `…` separates, in their order.
fn is_like(said: &str, shown: &str) -> bool {
    let mut rest = Some(said);
    for part in shown.split('…') {
        rest = rest.and_then(|rest| rest.split_once(part.trim())).map(|(_, rest)| rest);
    }
    rest.is_some()
}

#[test]
fn whoever_follows_the_guide_of_the_first_asset_sees_what_it_shows() {
    let blocks = blocks(FIRST_ASSET);
    assert!(blocks.len() >= 20, "only {} blocks were found", blocks.len());
    let mut reader = Reader::new();
    for block in &blocks {
        reader.follow(block);
    }
    assert_eq!(reader.servers.len(), 2, "the service and the server were started");
}

#[test]
fn whoever_follows_the_guide_of_what_runs_by_itself_sees_what_it_shows() {
    let blocks = blocks(AUTOMATION);
    assert!(blocks.len() >= 12, "only {} blocks were found", blocks.len());
    let mut reader = Reader::new();
    for block in &blocks {
        reader.follow(block);
    }
    assert_eq!(reader.servers.len(), 1, "the server was started");
}
