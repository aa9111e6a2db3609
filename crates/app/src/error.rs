//! What a command can fail with, and the exit code that says so.

use std::path::{Path, PathBuf};

use millstream_control::{SchemaState, StoreError};
use millstream_model::{Diagnostic, ErrorCode};

use crate::{config_file, draw};

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// A file or folder cannot be used.
    #[error("{path} cannot be used", path = path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },

    /// The database's schema is not this program's.
    #[error("{}", schema_text(*.0))]
    Schema(SchemaState),

    /// The address cannot be served on.
    #[error("port {port} cannot be used; choose another with `--port`")]
    Port {
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },

    /// A server of the project runs already, so that no second one can begin.
    #[error(
        "a server of this project runs already, at {url}; commands in the project's folder reach \
         it as they are, and from elsewhere with `--url {url}`"
    )]
    Served {
        /// Its address.
        url: String,
        /// Why the second one cannot begin.
        #[source]
        source: Box<AppError>,
    },

    /// The server refused what was asked for.
    #[error("{message}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// The code.
        code: String,
        /// What it said.
        message: String,
        /// What to do.
        help: Option<String>,
    },

    /// The server could not be reached or gave no sense.
    #[error("the server at {place} does not answer: {problem}")]
    Unreachable {
        /// Where it was looked for.
        place: String,
        /// What was seen.
        problem: String,
    },

    /// What was typed cannot be understood.
    #[error("{message}")]
    Usage {
        /// The code.
        code: ErrorCode,
        /// What is wrong and what to write instead.
        message: String,
    },

    /// There is no thing of the name that was typed.
    #[error("{message}")]
    Unknown {
        /// The code.
        code: ErrorCode,
        /// What was looked for, and how to find what there is.
        message: String,
    },

    /// A measurement could not be taken.
    #[error("the measurement could not be taken: {what}")]
    Bench {
        /// Why.
        what: String,
    },

    /// Somebody pressed Ctrl-C while the command waited; what became of its runs has been said.
    #[error("interrupted")]
    Interrupted,

    /// The project's folder does not exist.
    #[error("{} is no folder; name the project's folder with `--dir`", folder.display())]
    NoProject {
        /// What was named.
        folder: PathBuf,
    },

    /// The project's folder has nothing of a project in it.
    #[error(
        "{} is no project: there is no folder {}; {}",
        folder.display(), dags.display(), advice(another.as_deref())
    )]
    NotAProject {
        /// What was named.
        folder: PathBuf,
        /// Where its definition files would be.
        dags: PathBuf,
        /// A folder near it that is a project's.
        another: Option<PathBuf>,
    },

    /// No file or folder of definitions has the name that was typed.
    #[error(
        "there is no file or folder {}{near}; name it by its path from here, or by its path below \
         {}", path.display(), dags.display()
    )]
    NoDefinitions {
        /// What was named.
        path: PathBuf,
        /// The nearest known name, as a remark.
        near: String,
        /// The definitions' folder.
        dags: PathBuf,
    },

    /// The project's file of settings has errors.
    #[error("{} has errors{}", config_file::NAME, drawn(text, diagnostics))]
    Settings {
        /// The file's text.
        text: String,
        /// What is wrong with it.
        diagnostics: Vec<Diagnostic>,
    },

    /// There is a difference, which has been shown, and the caller wants to know by the exit code.
    #[error("something changes")]
    Different,

    /// The command did its work, and the outcome is a failure that has been shown already.
    #[error("failed")]
    Failed,
}

/// Diagnostics below the message that they belong to.
fn drawn(text: &str, diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().flat_map(|found| ["\n".to_owned(), draw::diagnostic(found, text)]).collect()
}

/// What to do where a folder is no project's.
fn advice(another: Option<&Path>) -> String {
    match another {
        Some(project) => {
            let project = project.display();
            format!("{project} has one: name that project with `--dir {project}`")
        }
        None => "name the project's folder with `--dir`, or make that folder and put a definition \
                 file into it"
            .to_owned(),
    }
}

fn schema_text(state: SchemaState) -> String {
    match state {
        SchemaState::Current => "the schema is current".to_owned(),
        SchemaState::Behind { found } => format!(
            "the database has schema version {found}, which is older than this program's; \
             run `millstream migrate`"
        ),
        SchemaState::Ahead { found } => format!(
            "the database has schema version {found}, which is newer than this program's; \
             run the newer version of Millstream"
        ),
    }
}

impl AppError {
    /// What the command line's own parser says of what was typed, without how to use the command.
    pub(crate) fn mistyped(said: &str) -> Self {
        let said = said.split("\n\nUsage:").next().unwrap_or(said);
        let words: Vec<&str> = said.split_whitespace().collect();
        let message = words.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
        Self::Usage { code: ErrorCode::BadRequest, message }
    }

    /// Whether another process owns the embedded database.
    pub(crate) fn is_owned(&self) -> bool {
        matches!(self, Self::Store(StoreError::Owned { .. }))
    }

    /// The code of the page that explains it, where there is one.
    pub(crate) fn code(&self) -> Option<String> {
        match self {
            Self::Store(error) => Some(error.code().to_string()),
            Self::Schema(_) => Some(ErrorCode::DatabaseSchema.to_string()),
            Self::Refused { code, .. } => Some(code.clone()),
            Self::Usage { code, .. } | Self::Unknown { code, .. } => Some(code.to_string()),
            Self::Unreachable { .. } => Some(ErrorCode::ServerUnreachable.to_string()),
            Self::Settings { diagnostics, .. } => {
                diagnostics.first().map(|found| found.code.to_string())
            }
            Self::Files { .. } => Some(ErrorCode::FileUnusable.to_string()),
            Self::Port { .. } => Some(ErrorCode::PortUnusable.to_string()),
            Self::Served { .. } => Some(ErrorCode::ServerRunning.to_string()),
            Self::NoProject { .. } | Self::NotAProject { .. } => {
                Some(ErrorCode::ProjectUnknown.to_string())
            }
            Self::NoDefinitions { .. } => Some(ErrorCode::DefinitionFileUnknown.to_string()),
            Self::Bench { .. } | Self::Interrupted | Self::Different | Self::Failed => None,
        }
    }

    /// Whether the server says that there is no such thing where it was asked for.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// The process's exit code: 1 for a failure, 2 for something typed wrong, 3 for a difference
    /// where that was asked, 130 for Ctrl-C.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. }
            | Self::NoProject { .. }
            | Self::NotAProject { .. }
            | Self::Settings { .. } => 2,
            Self::Different => 3,
            // As a shell says it of a program that SIGINT ended.
            Self::Interrupted => 130,
            _ => 1,
        }
    }
}
