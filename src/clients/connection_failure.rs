//! Why there was no connection or no answer, in the words of an engineer who must repair it.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use super::call::Api;
use super::rate_limit::DeadlinePassed;

/// A body of which nothing came for a while.
#[derive(Debug, thiserror::Error)]
#[error("no more of its body came for {0:?}")]
pub(super) struct BodyStalled(pub(super) Duration);

/// Why a server could not be talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFailure {
    host: String,
    cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    Refused,
    TimedOut,
    UnknownHost,
    NotTls,
    UnknownIssuer,
    CaAsServer,
    OtherName,
    Expired,
    NotYetValid,
    Tls(String),
    Closed,
    Other,
}

/// Whom the connection was to: the settings that a remedy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// One of the two directories.
    Directory(Api),
    /// The mail server.
    Mail,
}

impl Server {
    fn address(self) -> String {
        match self {
            Self::Directory(api) => format!("{}.base_url", api.section()),
            Self::Mail => "smtp.host".to_owned(),
        }
    }

    fn timeout(self) -> String {
        match self {
            Self::Directory(api) => format!("{}.timeout", api.section()),
            Self::Mail => "notify.timeout".to_owned(),
        }
    }

    fn not_tls(self) -> String {
        match self {
            Self::Directory(_) => format!(
                "check the port of {}: https is spoken to a port that does not speak TLS (plain \
                 http is only for loopback)",
                self.address()
            ),
            Self::Mail => {
                "check smtp.port and smtp.security: \"starttls\" mostly is for port 587, \
                 \"tls\" for port 465"
                    .to_owned()
            }
        }
    }
}

impl ConnectionFailure {
    /// What `error`, of a request to `host`, comes from.
    pub fn of(host: String, error: &(dyn Error + 'static)) -> Self {
        Self {
            host,
            cause: cause_of(error),
        }
    }

    /// What to do about it, with the settings of `server`.
    pub fn remedy(&self, server: Server) -> String {
        let address = server.address();
        match &self.cause {
            Cause::Refused => format!(
                "check the host and port of {address}, and that a firewall lets this machine \
                 through"
            ),
            Cause::TimedOut => {
                format!(
                    "check the network and a proxy, or raise {}",
                    server.timeout()
                )
            }
            Cause::UnknownHost => format!("correct the host of {address}, or this machine's DNS"),
            Cause::NotTls => server.not_tls(),
            Cause::UnknownIssuer => "if a private authority or an inspecting proxy signed the \
                 certificate, name that authority's certificate in http.ca_file; if the server \
                 signed it itself, name the server's own certificate there"
                .to_owned(),
            Cause::CaAsServer => "name exactly this certificate in http.ca_file to accept it for \
                 this server, or give the server a certificate that is no authority's"
                .to_owned(),
            Cause::OtherName => format!(
                "use the name that the certificate is for in {address}, or give the server a \
                 certificate for the name in {address}"
            ),
            Cause::Expired => {
                "renew the server's certificate, and check this machine's clock".to_owned()
            }
            Cause::NotYetValid => {
                "check this machine's clock, then the server's certificate".to_owned()
            }
            Cause::Tls(_) => {
                format!("check {address} and http.ca_file, and whether a proxy stands in between")
            }
            Cause::Closed => {
                format!("try again; if it stays so, check {address} and a proxy in between")
            }
            Cause::Other => format!("check {address} and the network"),
        }
    }
}

impl fmt::Display for ConnectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match &self.cause {
            Cause::Refused => write!(f, "{host} refused the connection"),
            Cause::TimedOut => write!(f, "{host} did not answer in time"),
            Cause::UnknownHost => write!(f, "{host} is not known to the name service"),
            Cause::NotTls => write!(f, "{host} does not speak TLS"),
            Cause::UnknownIssuer => write!(
                f,
                "{host} has a certificate of an authority that this machine does not trust"
            ),
            Cause::CaAsServer => write!(
                f,
                "{host} shows a certificate authority's own certificate (CA:TRUE) as its own"
            ),
            Cause::OtherName => write!(f, "{host} has a certificate for another name"),
            Cause::Expired => write!(f, "the certificate of {host} has expired"),
            Cause::NotYetValid => write!(f, "the certificate of {host} is not valid yet"),
            Cause::Tls(detail) => {
                write!(f, "{host} and this program do not agree on TLS: {detail}")
            }
            Cause::Closed => write!(
                f,
                "{host} closed the connection before its answer was whole"
            ),
            Cause::Other => write!(f, "{host} cannot be talked to"),
        }
    }
}

fn cause_of(error: &(dyn Error + 'static)) -> Cause {
    let mut next = Some(error);
    let mut vague = Cause::Other;
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            if let Some(tls) = tls_error(io) {
                return tls_cause(tls);
            }
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return Cause::Refused,
                io::ErrorKind::TimedOut => vague = Cause::TimedOut,
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => vague = Cause::Closed,
                _ => {}
            }
        }
        if let Some(http) = error.downcast_ref::<reqwest::Error>() {
            if http.is_timeout() {
                vague = Cause::TimedOut;
            } else if (http.is_body() || http.is_decode()) && vague == Cause::Other {
                vague = Cause::Closed;
            }
        }
        if error.is::<BodyStalled>() || error.is::<DeadlinePassed>() {
            return Cause::TimedOut;
        }
        // The errors of hyper and of the resolver name themselves in no other way.
        let text = error.to_string();
        if text.starts_with("dns error") || text.starts_with("failed to lookup address") {
            return Cause::UnknownHost;
        }
        next = error.source();
    }
    vague
}

/// The TLS library's error, which travels inside one or more of the system's.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let mut error = error;
    loop {
        let inner = error.get_ref()?;
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        error = inner.downcast_ref::<io::Error>()?;
    }
}

fn tls_cause(error: &rustls::Error) -> Cause {
    match error {
        rustls::Error::InvalidMessage(_) => Cause::NotTls,
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => Cause::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Cause::OtherName
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Cause::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Cause::NotYetValid
            }
            other if super::pinned_certificate::is_ca_as_server(other) => Cause::CaAsServer,
            other => Cause::Tls(other.to_string()),
        },
        other => Cause::Tls(other.to_string()),
    }
}
