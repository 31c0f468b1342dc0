//! What both clients have in common before the first request: TLS, trust anchors, the
//! `User-Agent`, and which base URLs may be talked to at all (§11).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::{Host, Url};

use super::traffic::Traffic;
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
    /// Plain HTTP to another machine.
    #[error(
        "{setting} is plain http to {host}, which would show the credential to the network; use https, or set http.allow_insecure = true"
    )]
    PlainHttp {
        /// The setting.
        setting: &'static str,
        /// The host.
        host: String,
    },
    /// A base URL that cannot be one.
    #[error("{setting} cannot be used: {detail}")]
    BaseUrl {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        detail: &'static str,
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
        source: reqwest::Error,
    },
}

/// Everything both clients share.
#[derive(Clone, Debug)]
pub struct Transport {
    trust_anchors: Vec<reqwest::Certificate>,
    plain_http: PlainHttp,
    clock: SharedClock,
    traffic: Arc<Traffic>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlainHttp {
    LoopbackOnly,
    Anywhere,
}

impl Transport {
    /// Reads the trust anchors of `http.ca_file`.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate or something else than certificates.
    pub fn new(settings: &HttpSettings, clock: SharedClock) -> Result<Self, ClientError> {
        let trust_anchors = match &settings.ca_file {
            Some(path) => read_trust_anchors(path)?,
            None => Vec::new(),
        };
        Ok(Self {
            trust_anchors,
            plain_http: if settings.allow_insecure {
                PlainHttp::Anywhere
            } else {
                PlainHttp::LoopbackOnly
            },
            clock,
            traffic: Arc::default(),
        })
    }

    /// The counters of every client made from this.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// A client for `base_url`, which the setting `setting` gives. `timeout` bounds silence; the
    /// limit of a whole request is set with the request.
    pub(super) fn client(
        &self,
        base_url: &Url,
        setting: &'static str,
        timeout: Duration,
    ) -> Result<reqwest::Client, ClientError> {
        self.check_url(base_url, setting)?;
        self.build(base_url, setting, timeout)
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
        self.check_scheme(url, setting)?;
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
            builder = builder.tls_certs_only(self.trust_anchors.clone());
        } else if !self.trust_anchors.is_empty() {
            builder = builder.tls_certs_merge(self.trust_anchors.clone());
        }
        if is_loopback(base_url) {
            // A proxy from the environment would take the credential off this machine.
            builder = builder.no_proxy();
        }
        builder
            .build()
            .map_err(|source| ClientError::Tls { setting, source })
    }

    fn check_url(&self, url: &Url, setting: &'static str) -> Result<(), ClientError> {
        let refuse = |detail| Err(ClientError::BaseUrl { setting, detail });
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("it carries a user name or password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("it has a query or a fragment");
        }
        self.check_scheme(url, setting)
    }

    fn check_scheme(&self, url: &Url, setting: &'static str) -> Result<(), ClientError> {
        let refuse = |detail| Err(ClientError::BaseUrl { setting, detail });
        let Some(host) = url.host_str() else {
            return refuse("it has no host");
        };
        match url.scheme() {
            "https" => Ok(()),
            "http" if is_loopback(url) || self.plain_http == PlainHttp::Anywhere => Ok(()),
            "http" => Err(ClientError::PlainHttp {
                setting,
                host: host.to_owned(),
            }),
            _ => refuse("it is neither https nor http"),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn read_trust_anchors(path: &Path) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let pem = std::fs::read(path).map_err(|source| ClientError::CaFileUnreadable {
        path: path.to_owned(),
        source,
    })?;
    let refuse = |detail: String| ClientError::CaFileContent {
        path: path.to_owned(),
        detail,
    };
    let mut checked = rustls::RootCertStore::empty();
    let mut anchors = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        anchors.push(
            reqwest::Certificate::from_der(&certificate)
                .map_err(|error| refuse(error.to_string()))?,
        );
        checked
            .add(certificate)
            .map_err(|error| refuse(error.to_string()))?;
    }
    if anchors.is_empty() {
        return Err(refuse("there is none in it".to_owned()));
    }
    Ok(anchors)
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

    fn check(url: &str, allow_insecure: bool) -> Result<(), ClientError> {
        let url = Url::parse(url).unwrap();
        transport(None, allow_insecure)
            .unwrap()
            .check_url(&url, "opa.base_url")
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_allowed() {
        for url in [
            "http://localhost:1",
            "http://127.9.9.9",
            "http://[::1]:8080",
            "https://opa.example",
        ] {
            assert!(check(url, false).is_ok(), "{url}");
        }
        for url in [
            "http://opa.example",
            "http://10.0.0.1",
            "http://localhost.evil.example",
        ] {
            let error = check(url, false).unwrap_err().to_string();
            assert!(
                error.contains("opa.base_url") && error.contains("http.allow_insecure"),
                "{error}"
            );
            assert!(check(url, true).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_base_url_with_credentials_or_a_query_is_refused() {
        for url in [
            "https://u:p@opa.example",
            "https://opa.example/?a=b",
            "ftp://opa.example",
        ] {
            assert!(
                matches!(check(url, true), Err(ClientError::BaseUrl { .. })),
                "{url}"
            );
        }
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
        assert_eq!(transport.trust_anchors.len(), 2);
        let url = Url::parse("https://opa.example").unwrap();
        let client = transport.client(&url, "opa.base_url", CONNECT_TIMEOUT);
        assert!(client.is_ok(), "{client:?}");
    }
}
