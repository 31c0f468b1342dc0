//! `[smtp]`: the mail server that messages go through.

use lettre::message::Mailbox;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use url::Host;

/// The mail server, and between whom.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// The server.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub security: SmtpSecurity,
    /// Name and password; `None`: the server asks for none.
    pub login: Option<(String, SecretString)>,
    /// Whom messages come from.
    pub from: Mailbox,
    /// Who gets them, each address once.
    pub to: Vec<Mailbox>,
}

/// `smtp.security`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum SmtpSecurity {
    /// Begins in the clear; nothing is said before it has become TLS.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// None at all.
    None,
}

impl SmtpSecurity {
    /// The port that such servers listen on.
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}
