//! A self-signed server certificate that is named in `http.ca_file` is the pin it is meant to be.
//!
//! Such certificates are often marked as an authority's (CA:TRUE, what `openssl req -x509` makes),
//! and the TLS library refuses an authority's certificate as a server's. It is accepted here only
//! when it is, byte for byte, one of the certificates in the file, is valid at this time and for
//! this name. That the server holds its key is proved by the handshake as always.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

/// Whether a certificate was refused only for being an authority's. The library checks the time
/// first, so one that is refused for this is within its time.
pub(super) fn is_ca_as_server(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Other(other)
            if other.0.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
    )
}

/// The machine's authorities and those of `http.ca_file`, and the pins among the latter.
#[derive(Debug)]
pub(super) struct PinningVerifier {
    authorities: Arc<dyn ServerCertVerifier>,
    pins: Vec<CertificateDer<'static>>,
}

impl PinningVerifier {
    /// Verifies as the machine does, and accepts `named` as authorities and as pins.
    pub(super) fn new(
        named: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        let authorities =
            rustls_platform_verifier::Verifier::new_with_extra_roots(named.clone(), provider)?;
        Ok(Self {
            authorities: Arc::new(authorities),
            pins: named,
        })
    }
}

impl ServerCertVerifier for PinningVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self
            .authorities
            .verify_server_cert(certificate, intermediates, name, ocsp, now)
        {
            Err(rustls::Error::InvalidCertificate(why))
                if is_ca_as_server(&why) && self.pins.iter().any(|pin| pin == certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
