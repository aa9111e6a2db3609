//! What a statement on a SQLite file may not do, however it is written.
//!
//! SQLite asks while it compiles a statement. Refused is what reaches outside of the file (other
//! files, loaded code), what would end the step's one transaction, and settings of the connection.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Watches a connection's statements and remembers why the last one was refused.
pub(super) struct Guard {
    refused: Arc<Mutex<Option<String>>>,
}

/// Pragmas that tell about the file, and the two numbers in its header that belong to its users.
const PRAGMAS: &[&str] = &[
    "application_id",
    "collation_list",
    "compile_options",
    "database_list",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "optimize",
    "page_count",
    "page_size",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];

impl Guard {
    /// Starts to watch `connection`.
    pub(super) fn install(connection: &mut Connection) -> rusqlite::Result<Self> {
        let refused = Arc::new(Mutex::new(None));
        let reason = Arc::clone(&refused);
        connection.authorizer(Some(move |context: AuthContext<'_>| match refusal(&context) {
            None => Authorization::Allow,
            Some(text) => {
                *reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                Authorization::Deny
            }
        }))?;
        Ok(Self { refused })
    }

    /// Why the last statement was refused, if it was.
    pub(super) fn take_reason(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Stops watching `connection`, so that the step's own COMMIT passes.
    pub(super) fn remove(connection: &mut Connection) -> rusqlite::Result<()> {
        connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
    }
}

fn refusal(context: &AuthContext<'_>) -> Option<String> {
    match context.action {
        // An ATTACH whose file name is an expression arrives as an unknown action, and is the only
        // thing that does.
        AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Unknown { .. } => {
            Some("other database files are out of reach; declare a resource for each".to_owned())
        }
        AuthAction::Function { function_name } if is(function_name, "load_extension") => {
            Some("extensions are not loaded".to_owned())
        }
        AuthAction::Transaction { .. } => {
            Some("a step's statements are one transaction already".to_owned())
        }
        AuthAction::Pragma { pragma_name, .. } if !is_harmless(pragma_name) => {
            Some(format!("`PRAGMA {pragma_name}` changes the connection, which is not the step's"))
        }
        _ => None,
    }
}

fn is(name: &str, wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted)
}

fn is_harmless(pragma: &str) -> bool {
    PRAGMAS.iter().any(|known| is(pragma, known))
}
