//! What both clients have in common before the first request: TLS, trust anchors, the
//! `User-Agent`, and which base URLs may be talked to at all (§11).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

use super::clock_offsets::ClockOffsets;
use super::pinned_certificate::PinningVerifier;
use super::request_metrics::RequestMetrics;
use crate::domain::base_url::{BaseUrl, InvalidBaseUrl, PlainHttp, check_server, is_loopback};
use crate::domain::time::SharedClock;
use crate::settings::HttpSettings;

const USER_AGENT: &str = concat!("rolecall/", env!("CARGO_PKG_VERSION"));

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a client cannot be made from the settings.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The extra trust anchors cannot be read.
    #[error("cannot read the certificates of http.ca_file, {}", .path.display())]
    CaFileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The extra trust anchors are not certificates.
    #[error("http.ca_file, {}, does not hold PEM certificates: {detail}", .path.display())]
    CaFileContent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A base URL that cannot be one.
    #[error("{setting} {problem}")]
    BaseUrl {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        problem: InvalidBaseUrl,
    },
    /// A base URL that repeats the API's own path.
    #[error(
        "{setting} holds the API's own path {path}: give only what stands before it, such as \
         https://host"
    )]
    ApiPath {
        /// The setting.
        setting: &'static str,
        /// The path.
        path: &'static str,
    },
    /// A value that cannot be used.
    #[error("{setting} cannot be used: {detail}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// The HTTP client could not be built.
    #[error(
        "cannot set up TLS for {setting}; does this machine have CA certificates, or should http.ca_file name some?"
    )]
    Tls {
        /// The setting whose URL needs it.
        setting: &'static str,
        /// What the TLS library said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Everything both clients share.
#[derive(Clone, Debug)]
pub struct Transport {
    /// The certificates of `http.ca_file`.
    named_certificates: Vec<CertificateDer<'static>>,
    plain_http: PlainHttp,
    clock: SharedClock,
    request_metrics: Arc<RequestMetrics>,
    clock_offsets: Arc<ClockOffsets>,
}

impl Transport {
    /// Reads the trust anchors of `http.ca_file`.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate or something else than certificates.
    pub fn new(settings: &HttpSettings, clock: SharedClock) -> Result<Self, ClientError> {
        let named_certificates = match &settings.ca_file {
            Some(path) => read_certificates(path)?,
            None => Vec::new(),
        };
        Ok(Self {
            named_certificates,
            plain_http: PlainHttp::allowed_if(settings.allow_insecure),
            clock,
            request_metrics: Arc::default(),
            clock_offsets: Arc::default(),
        })
    }

    /// The counters of every client made from this.
    pub fn request_metrics(&self) -> Arc<RequestMetrics> {
        Arc::clone(&self.request_metrics)
    }

    /// How far the servers' clocks are from ours, by the answers to every client made from this.
    pub fn clock_offsets(&self) -> Arc<ClockOffsets> {
        Arc::clone(&self.clock_offsets)
    }

    /// The certificates of `http.ca_file`.
    pub fn named_certificates(&self) -> &[CertificateDer<'static>] {
        &self.named_certificates
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// A client for `base_url`, which the setting `setting` gives. `timeout` bounds silence; the
    /// limit of a whole request is set with the request.
    pub(super) fn client(
        &self,
        base_url: &BaseUrl,
        setting: &'static str,
        timeout: Duration,
    ) -> Result<reqwest::Client, ClientError> {
        self.build(base_url.as_url(), setting, timeout)
    }

    /// A client for the webhook at `url`, which carries no credential of a directory. It follows no
    /// redirect, `timeout` bounds each of its requests as a whole, and a bad URL is never quoted,
    /// because its path is often a secret.
    ///
    /// # Errors
    /// Plain `http` to another machine without `http.allow_insecure`, or TLS cannot be set up.
    pub fn webhook_client(
        &self,
        url: &Url,
        setting: &'static str,
        timeout: Duration,
    ) -> Result<reqwest::Client, ClientError> {
        check_server(url, self.plain_http)
            .map_err(|problem| ClientError::BaseUrl { setting, problem })?;
        self.build(url, setting, timeout)
    }

    fn build(
        &self,
        base_url: &Url,
        setting: &'static str,
        timeout: Duration,
    ) -> Result<reqwest::Client, ClientError> {
        // Only the first installation in a process can succeed, and any provider will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            .read_timeout(timeout);
        if base_url.scheme() == "http" {
            // No TLS will happen; a machine without any CA certificates must be able to do this.
            builder = builder.tls_certs_only(std::iter::empty());
        } else if !self.named_certificates.is_empty() {
            builder = builder.tls_backend_preconfigured(self.tls_config(setting)?);
        }
        if is_loopback(base_url) {
            // A proxy from the environment would take the credential off this machine.
            builder = builder.no_proxy();
        }
        builder.build().map_err(|source| ClientError::Tls {
            setting,
            source: Box::new(source),
        })
    }

    /// TLS with the certificates of `http.ca_file`, as authorities and as pins.
    fn tls_config(&self, setting: &'static str) -> Result<rustls::ClientConfig, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let build = || {
            let verifier =
                PinningVerifier::new(self.named_certificates.clone(), Arc::clone(&provider))?;
            Ok::<_, rustls::Error>(
                rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
                    .with_safe_default_protocol_versions()?
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
                    .with_no_client_auth(),
            )
        };
        build().map_err(|source| ClientError::Tls {
            setting,
            source: Box::new(source),
        })
    }
}

/// A base URL may have a path, but not the API's own, which the client adds.
pub(super) fn refuse_api_path(
    base_url: &BaseUrl,
    setting: &'static str,
    api_path: &'static str,
) -> Result<(), ClientError> {
    if base_url.as_url().path().contains(api_path) {
        return Err(ClientError::ApiPath {
            setting,
            path: api_path,
        });
    }
    Ok(())
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let pem = std::fs::read(path).map_err(|source| ClientError::CaFileUnreadable {
        path: path.to_owned(),
        source,
    })?;
    let refuse = |detail: String| ClientError::CaFileContent {
        path: path.to_owned(),
        detail,
    };
    let mut checked = rustls::RootCertStore::empty();
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        checked
            .add(certificate.clone())
            .map_err(|error| refuse(error.to_string()))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(refuse("there is none in it".to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{ManualClock, Timestamp};
    use std::io::Write as _;

    fn transport(ca_file: Option<PathBuf>, allow_insecure: bool) -> Result<Transport, ClientError> {
        let settings = HttpSettings {
            listen: None,
            ca_file,
            allow_insecure,
        };
        Transport::new(&settings, ManualClock::at(Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn a_base_url_keeps_a_path_but_not_the_apis_own() {
        let refuse = |text: &str| {
            let url = BaseUrl::parse(text, PlainHttp::LoopbackOnly).unwrap();
            refuse_api_path(&url, "opa.base_url", "/v1/teams")
        };
        assert!(refuse("https://proxy.example/opa").is_ok());
        let error = refuse("https://opa.example/v1/teams/example").unwrap_err();
        assert!(error.to_string().contains("opa.base_url"), "{error}");
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused_by_name() {
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for content in ["", "not a certificate", garbage] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            let error = transport(Some(file.path().to_owned()), false).unwrap_err();
            assert!(error.to_string().contains("http.ca_file"), "{error}");
        }
        let missing = PathBuf::from("/nonexistent/ca.pem");
        assert!(matches!(
            transport(Some(missing), false),
            Err(ClientError::CaFileUnreadable { .. })
        ));
    }

    #[test]
    fn a_ca_file_may_hold_several_certificates_and_serves_https() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let certificate = include_str!("test_ca.pem");
        write!(file, "# ours\n{certificate}\n{certificate}").unwrap();
        let transport = transport(Some(file.path().to_owned()), false).unwrap();
        assert_eq!(transport.named_certificates.len(), 2);
        let url = BaseUrl::parse("https://opa.example", PlainHttp::LoopbackOnly).unwrap();
        let client = transport.client(&url, "opa.base_url", CONNECT_TIMEOUT);
        assert!(client.is_ok(), "{client:?}");
    }
}
