//! The mail server of `[smtp]`: one plain message at a time, each over a connection of its own.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use url::Host;
use uuid::Uuid;

use super::connection_failure::{ConnectionFailure, Server};
use super::redaction::Secrets;
use super::transport::{ClientError, Transport};
use crate::domain::time::SharedClock;
use crate::settings::{SmtpSecurity, SmtpSettings};

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its subject, one line.
    pub subject: String,
    /// Its text.
    pub text: String,
}

/// Why the mail server did not take a message.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// There is no connection, or it broke.
    #[error("{0}")]
    Unreachable(ConnectionFailure),
    /// `notify.timeout` has passed.
    #[error("the mail server {server} did not answer within {}", humantime::format_duration(*.timeout))]
    TimedOut {
        /// Host and port.
        server: String,
        /// The limit.
        timeout: Duration,
    },
    /// The server said no.
    #[error("the mail server {server} refuses: {code} {detail}")]
    Refused {
        /// Host and port.
        server: String,
        /// The reply's code.
        code: u16,
        /// What it said, fit to be shown.
        detail: String,
    },
    /// The server does not speak SMTP, or not as it must.
    #[error("{server} does not speak SMTP as expected: {detail}")]
    Protocol {
        /// Host and port.
        server: String,
        /// What was wrong, fit to be shown.
        detail: String,
    },
    /// No message can be made.
    #[error("the e-mail cannot be written")]
    Message(#[source] lettre::error::Error),
}

impl MailError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreachable(failure) => failure.remedy(Server::Mail),
            Self::TimedOut { .. } => {
                "check smtp.host and smtp.port, and that a firewall lets this \
                 machine through, or raise notify.timeout"
                    .to_owned()
            }
            Self::Refused {
                code: 400..=499, ..
            } => "the refusal is temporary: the next run tries again".to_owned(),
            Self::Refused {
                code: 530 | 534 | 535 | 538,
                ..
            } => "correct smtp.username and smtp.password_file".to_owned(),
            Self::Refused { .. } => {
                "correct smtp.from and smtp.to, or let the server take mail from this machine"
                    .to_owned()
            }
            Self::Protocol { .. } => {
                "check smtp.port and smtp.security: \"starttls\" mostly is for \
                 port 587, \"tls\" for port 465; a login needs a server that offers one"
                    .to_owned()
            }
            Self::Message(_) => "correct smtp.from and smtp.to".to_owned(),
        }
    }
}

/// Hands messages to the mail server.
#[derive(Debug)]
pub struct MailServer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// Host and port, for people.
    name: String,
    from: Mailbox,
    timeout: Duration,
    secrets: Secrets,
    clock: SharedClock,
    host: String,
}

impl MailServer {
    /// The server of these settings; `timeout` bounds each message as a whole.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(
        transport: &Transport,
        settings: &SmtpSettings,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let server = match &settings.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let tls =
            tls(transport, settings.security, &server).map_err(|source| ClientError::Tls {
                setting: "smtp.host",
                source: Box::new(source),
            })?;
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server)
            .port(settings.port)
            .tls(tls)
            // One limit for the whole is set where a message is sent.
            .timeout(None);
        if let Ok(Host::Domain(name)) = Host::parse(&host) {
            builder = builder.hello_name(ClientId::Domain(name));
        }
        let mut secrets = Secrets::new(SecretString::default());
        if let Some((name, secret)) = &settings.login {
            let password = secret.expose_secret();
            builder = builder.credentials(Credentials::new(name.clone(), password.to_owned()));
            secrets = Secrets::new(secret.clone());
            // What is said to the server, should it repeat that: first AUTH LOGIN, then AUTH PLAIN.
            for said in [password.to_owned(), format!("\0{name}\0{password}")] {
                secrets.remember(STANDARD.encode(said).into());
            }
        }
        Ok(Self {
            transport: builder.build(),
            name: format!("{}:{}", settings.host, settings.port),
            from: settings.from.clone(),
            timeout,
            secrets,
            clock: transport.clock().clone(),
            host,
        })
    }

    /// Host and port, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects, encrypts and logs in, and sends nothing.
    ///
    /// # Errors
    /// What kept it from that.
    pub async fn try_login(&self) -> Result<(), MailError> {
        let is_well = self.bounded(self.transport.test_connection()).await?;
        if is_well {
            return Ok(());
        }
        Err(MailError::Protocol {
            server: self.name.clone(),
            detail: "it does not answer NOOP".to_owned(),
        })
    }

    /// Hands `letter` for `to` to the server; returns once it has taken it.
    ///
    /// # Errors
    /// It did not.
    pub async fn send(&self, to: &Mailbox, letter: Letter) -> Result<(), MailError> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(to.clone())
            .subject(letter.subject)
            .date(self.clock.now().into())
            .message_id(Some(format!("<{}@{}>", Uuid::new_v4(), self.host)))
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text)
            .map_err(MailError::Message)?;
        self.bounded(self.transport.send(message)).await.map(drop)
    }

    async fn bounded<T>(
        &self,
        asked: impl Future<Output = Result<T, smtp::Error>>,
    ) -> Result<T, MailError> {
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(answer) => answer.map_err(|error| self.failure(&error)),
            Err(_) => Err(MailError::TimedOut {
                server: self.name.clone(),
                timeout: self.timeout,
            }),
        }
    }

    fn failure(&self, error: &smtp::Error) -> MailError {
        let server = self.name.clone();
        let source = std::error::Error::source(error);
        let detail = source.map_or_else(|| error.to_string(), ToString::to_string);
        let detail = self.secrets.redact(&detail);
        if let Some(code) = error.status() {
            let code = code.to_string().parse().unwrap_or_default();
            return MailError::Refused {
                server,
                code,
                detail,
            };
        }
        if error.is_client() || error.is_response() {
            return MailError::Protocol { server, detail };
        }
        MailError::Unreachable(ConnectionFailure::of(server, error))
    }
}

fn tls(transport: &Transport, security: SmtpSecurity, server: &str) -> Result<Tls, smtp::Error> {
    let wrap = match security {
        SmtpSecurity::None => return Ok(Tls::None),
        SmtpSecurity::Starttls => Tls::Required,
        SmtpSecurity::Tls => Tls::Wrapper,
    };
    let mut parameters = TlsParameters::builder(server.to_owned());
    for certificate in transport.named_certificates() {
        parameters = parameters.add_root_certificate(Certificate::from_der(certificate.to_vec())?);
    }
    parameters.build().map(wrap)
}

/// RFC 3834: no program answers it, such as one that says somebody is on holiday.
#[derive(Clone, Debug)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
