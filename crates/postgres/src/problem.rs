//! What a refused connection has to do with encryption.

use std::error::Error as _;

use rustls::CertificateError;

/// What is wrong with the encryption of a connection, and what to do; `None` when that is not why
/// it failed.
pub fn tls_problem(error: &tokio_postgres::Error) -> Option<String> {
    if let Some(answer) = error.as_db_error() {
        // The server's rules ask for encryption, and the address asked for none.
        let is_refused = answer.message().contains("no encryption");
        return is_refused.then(|| {
            let said = answer.message();
            format!("{said}; say `sslmode=require` if the server takes encrypted connections alone")
        });
    }
    // The driver keeps its kinds to itself; its test pins the text.
    if error.to_string() != "error performing TLS handshake" {
        return None;
    }
    let cause = error.source()?;
    Some(match certificate_error(cause) {
        Some(problem) => certificate_problem(problem),
        None if cause.to_string() == "server does not support TLS" => {
            "the server offers no encrypted connections (SSL), which the address asks for; turn \
             `ssl` on there, or write `sslmode=disable` where the way to it is safe"
                .to_owned()
        }
        None => format!("the TLS handshake failed: {cause}"),
    })
}

fn certificate_problem(problem: &CertificateError) -> String {
    match problem {
        CertificateError::UnknownIssuer => {
            "the server's certificate is signed by an authority that is not trusted here; name the \
             file of the one that signed it with `sslrootcert`"
                .to_owned()
        }
        problem => format!("the server's certificate is refused: {problem}"),
    }
}

/// The refusal of a certificate below `error`, which the socket's own error wraps.
fn certificate_error<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a CertificateError> {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let error = inner.map_or(error, |inner| inner as &(dyn std::error::Error + 'static));
    match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(problem)) => Some(problem),
        _ => None,
    }
}
