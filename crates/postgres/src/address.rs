//! An address, and the connector that encrypts the way to it.

use std::path::{Path, PathBuf};

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::certificates::{self, Check};
use crate::parameters;

/// What encrypts a connection, where the address wants it and the server offers it.
pub type Connector = MakeRustlsConnect;

/// A connection's stream once it is encrypted.
pub type TlsStream = <Connector as MakeTlsConnect<Socket>>::Stream;

/// The parameters that this crate reads itself.
const NAMES: [&str; 2] = ["sslmode", "sslrootcert"];

/// The value of `sslrootcert` that means the authorities of the machine.
const SYSTEM: &str = "system";

/// Where a Postgres server is, and how the way to it is encrypted.
#[derive(Clone)]
pub struct Address {
    /// What the driver needs to know.
    pub config: Config,
    /// What it encrypts with.
    pub connector: Connector,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The driver's own text leaves the password out.
        f.debug_struct("Address").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why a text is no address that can be used.
///
/// None of its messages shows the address, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The driver does not understand it.
    #[error("the address of the database is not understood")]
    Text(#[source] tokio_postgres::Error),

    /// The mode is none.
    #[error("sslmode={found} is none; write disable, prefer, require, verify-ca or verify-full")]
    Mode {
        /// What was written.
        found: String,
    },

    /// A name does not say which authorities of the whole world may vouch for any host at all.
    #[error(
        "sslmode=verify-ca trusts every certificate of an authority, so it needs one of your own; \
         name its file with `sslrootcert`, or write sslmode=verify-full"
    )]
    NoAuthority,

    /// The file of authorities cannot be read.
    #[error("sslrootcert={} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },

    /// The file of authorities has none in it.
    #[error("sslrootcert={} holds no certificate; it must be a file in PEM form", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },

    /// The machine has no authorities.
    #[error("this machine has no file of authorities; name one with `sslrootcert`")]
    NoSystem,

    /// The library refuses its own settings: a defect.
    #[error("connections cannot be encrypted")]
    Library(#[source] rustls::Error),
}

/// How a connection is encrypted, in the words of Postgres's own programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Mode {
    fn of(text: &str) -> Result<Self, AddressError> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            found => return Err(AddressError::Mode { found: found.to_owned() }),
        })
    }
}

impl Address {
    /// Reads `text`: a URL, or a list of `name=value`. It reads the file of authorities too.
    pub fn of(text: &str) -> Result<Self, AddressError> {
        let (rest, [mode, file]) = parameters::taken(text, NAMES);
        let mut config: Config = rest.parse().map_err(AddressError::Text)?;
        let mode = mode.as_deref().map_or(Ok(Mode::Prefer), Mode::of)?;
        let file = file.filter(|file| !file.is_empty());
        let connector = certificates::connector(check(mode, file.as_deref())?)?;
        config.ssl_mode(match mode {
            // A socket is a file of this machine: there is nothing on the way to hide from.
            _ if is_local(&config) => SslMode::Disable,
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        Ok(Self { config, connector })
    }
}

/// What of the server's certificate is checked.
fn check(mode: Mode, file: Option<&str>) -> Result<Check, AddressError> {
    let own = file.filter(|file| *file != SYSTEM).map(Path::new);
    Ok(match (mode, own) {
        (Mode::Disable | Mode::Prefer, _) => Check::Nothing,
        // Who names an authority wants it to be looked at; so does Postgres's own library.
        (Mode::Require | Mode::VerifyCa, Some(file)) => Check::Authority(certificates::read(file)?),
        (Mode::Require, None) => Check::Nothing,
        (Mode::VerifyCa, None) => return Err(AddressError::NoAuthority),
        (Mode::VerifyFull, Some(file)) => Check::AuthorityAndName(certificates::read(file)?),
        (Mode::VerifyFull, None) => Check::AuthorityAndName(certificates::of_the_system()?),
    })
}

fn is_local(config: &Config) -> bool {
    let hosts = config.get_hosts();
    !hosts.is_empty() && hosts.iter().all(|host| matches!(host, Host::Unix(_)))
}

/// `text` with the mode and the file of authorities that hold where it names none itself.
#[must_use]
pub fn with_defaults(text: &str, mode: Option<&str>, file: Option<&str>) -> String {
    let (_, own) = parameters::taken(text, NAMES);
    let mut text = text.to_owned();
    for ((name, own), default) in NAMES.iter().zip(own).zip([mode, file]) {
        if let (None, Some(default)) = (own, default) {
            text = parameters::added(&text, name, default);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> SslMode {
        Address::of(text).unwrap().config.get_ssl_mode()
    }

    #[test]
    fn r008_the_mode_of_an_address_decides_whether_a_connection_may_be_plain() {
        assert_eq!(mode("postgres://a@h/d"), SslMode::Prefer);
        assert_eq!(mode("postgres://a@h/d?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("host=h user=a sslmode=require"), SslMode::Require);
        assert_eq!(mode("postgres://a@h/d?sslmode=verify-full"), SslMode::Require);
        assert_eq!(mode("host=/run/postgresql user=a sslmode=require"), SslMode::Disable);
    }

    #[track_caller]
    fn refused(text: &str) -> String {
        Address::of(text).unwrap_err().to_string()
    }

    #[test]
    fn r008_a_wrong_parameter_says_what_to_write_and_never_shows_the_address() {
        assert_eq!(
            refused("postgres://a:secret@h/d?sslmode=allow"),
            "sslmode=allow is none; write disable, prefer, require, verify-ca or verify-full"
        );
        assert!(refused("host=h sslmode=verify-ca").ends_with("or write sslmode=verify-full"));
        assert_eq!(
            refused("host=h sslmode=verify-ca sslrootcert=/nowhere/ca.pem"),
            "sslrootcert=/nowhere/ca.pem cannot be read"
        );
        assert_eq!(
            refused("postgres://a:secret@h/d?colour=red"),
            "the address of the database is not understood"
        );
    }

    #[test]
    fn r008_defaults_hold_where_an_address_says_nothing() {
        let with = |text| with_defaults(text, Some("require"), Some("/ca.pem"));
        assert_eq!(
            with("postgres://a@h/d"),
            "postgres://a@h/d?sslmode=require&sslrootcert=%2Fca%2Epem"
        );
        assert_eq!(with("sslmode=disable"), "sslmode=disable sslrootcert='/ca.pem'");
        assert_eq!(with_defaults("host=h", None, None), "host=h");
    }
}
