//! Which certificates a server may show, and what is said of the others.

use std::io::Write as _;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rolecall::clients::CallError;
use rolecall::domain::AccountRecord;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::directory_setup::clients_trusting;

const BODY: &str = r#"{"_id":"1","email":"a@example.com"}"#;

/// A self-signed certificate, marked as an authority's as `openssl req -x509` does.
pub(crate) struct SelfSigned {
    pub(crate) certificate: rcgen::Certificate,
    key: KeyPair,
}

pub(crate) fn self_signed(name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> SelfSigned {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    adjust(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    SelfSigned { certificate, key }
}

impl SelfSigned {
    /// What a server does with a connection to show this certificate.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server that shows `shown`; gives its address.
async fn serve(shown: &SelfSigned) -> String {
    let acceptor = shown.acceptor();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{BODY}",
                BODY.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    format!("https://localhost:{port}")
}

/// Asks the server that shows `shown`, with `named` in http.ca_file.
async fn ask(shown: &SelfSigned, named: &SelfSigned) -> Result<Option<AccountRecord>, CallError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(named.certificate.pem().as_bytes()).unwrap();
    let url = serve(shown).await;
    clients_trusting(&url, file.path())
        .opsera
        .find_user("1")
        .await
}

async fn refusal(shown: &SelfSigned, named: &SelfSigned) -> (String, String) {
    let error = ask(shown, named).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
    (error.to_string(), error.remedy().unwrap())
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_named_in_the_ca_file_is_a_pin() {
    let own = self_signed("localhost", |_| {});
    assert!(ask(&own, &own).await.unwrap().is_some());
    let plain = self_signed("localhost", |params| params.is_ca = IsCa::NoCa);
    assert!(ask(&plain, &plain).await.unwrap().is_some());
}

#[tokio::test]
async fn another_self_signed_certificate_of_the_same_name_is_refused() {
    let (shown, named) = (
        self_signed("localhost", |_| {}),
        self_signed("localhost", |_| {}),
    );
    let (words, remedy) = refusal(&shown, &named).await;
    assert!(words.contains("certificate"), "{words}");
    assert!(remedy.contains("http.ca_file"), "{remedy}");
}

#[tokio::test]
async fn a_pin_holds_for_its_name_and_its_time_only() {
    let other = self_signed("other.example", |_| {});
    let (words, remedy) = refusal(&other, &other).await;
    assert!(words.contains("another name"), "{words}");
    assert!(remedy.contains("opsera.base_url"), "{remedy}");
    let past = self_signed("localhost", |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let (words, _) = refusal(&past, &past).await;
    assert!(words.contains("expired"), "{words}");
}
