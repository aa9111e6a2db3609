//! Whom a connection believes that it talks to the right server.
//!
//! **Invariant.** A connection that asks for a check is never made without one.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::{AddressError, Connector};

/// What of the server's certificate is checked.
pub(crate) enum Check {
    /// That it is there; any will do.
    Nothing,
    /// That one of these authorities has signed it.
    Authority(Authorities),
    /// That, and that it is the host's.
    AuthorityAndName(Authorities),
}

/// Who may vouch for a server.
pub(crate) struct Authorities {
    roots: RootCertStore,
    /// The certificates themselves: a server may show one of them as its own.
    own: Vec<CertificateDer<'static>>,
}

/// The authorities in a file.
pub(crate) fn read(path: &Path) -> Result<Authorities, AddressError> {
    let file = |source| AddressError::File { path: path.to_owned(), source };
    let content = std::fs::read(path).map_err(file)?;
    let none = || AddressError::NoCertificate { path: path.to_owned() };
    let own: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&content).collect::<Result<_, _>>().map_err(|_| none())?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(own.iter().cloned());
    if added == 0 { Err(none()) } else { Ok(Authorities { roots, own }) }
}

/// The authorities that this machine trusts.
pub(crate) fn of_the_system() -> Result<Authorities, AddressError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs().certs;
    let (added, _) = roots.add_parsable_certificates(found);
    if added == 0 {
        Err(AddressError::NoSystem)
    } else {
        Ok(Authorities { roots, own: Vec::new() })
    }
}

/// A connector that makes `check` of every server.
pub(crate) fn connector(check: Check) -> Result<Connector, AddressError> {
    // The provider is named: another library of the process may bring a second one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(AddressError::Library)?;
    let (authorities, of_name) = match check {
        Check::Nothing => (None, false),
        Check::Authority(authorities) => (Some(authorities), false),
        Check::AuthorityAndName(authorities) => (Some(authorities), true),
    };
    let chain = authorities.map(|authorities| Chain::new(authorities, &provider)).transpose()?;
    let verifier = Verifier { provider, chain, of_name };
    let config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Connector::new(config))
}

/// The check of one connection.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// Who may vouch; `None` takes any certificate.
    chain: Option<Chain>,
    /// Whether the certificate must be the host's.
    of_name: bool,
}

#[derive(Debug)]
struct Chain {
    webpki: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl Chain {
    fn new(authorities: Authorities, provider: &Arc<CryptoProvider>) -> Result<Self, AddressError> {
        let roots = Arc::new(authorities.roots);
        let webpki = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            // What it refuses is an empty list, and there is none.
            .map_err(|error| AddressError::Library(Error::General(error.to_string())))?;
        Ok(Self { webpki, own: authorities.own })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The certificate that Postgres's own manual makes signs itself, so it is an authority,
        // which a chain may not end with. Who names it in `sslrootcert` means exactly that one.
        if chain.own.iter().any(|own| own == shown) {
            if self.of_name {
                verify_server_name(&ParsedCertificate::try_from(shown)?, host)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match chain.webpki.verify_server_cert(shown, between, host, ocsp, now) {
            // The name is looked at last, so everything else was right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.of_name => Ok(ServerCertVerified::assertion()),
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, shown, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, shown, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
