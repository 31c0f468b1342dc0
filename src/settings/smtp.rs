//! `[smtp]`: the mail server that messages go through, and how its values are read.

use lettre::message::Mailbox;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use url::Host;

use super::values::{optional, schema, text};

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

/// A mail server, by its name or IP address; `None` where it is not set.
pub(super) fn mail_host<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Host>, D::Error> {
    optional(deserializer, |text| {
        if let Ok(address) = text.parse() {
            return Ok(Host::Ipv6(address));
        }
        Host::parse(text).map_err(|_| {
            "must be the name of a server alone, e.g. \"smtp.example.com\"; the port is smtp.port"
                .to_owned()
        })
    })
}

/// The sender of messages; `None` where it is not set.
pub(super) fn optional_mailbox<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Mailbox>, D::Error> {
    optional(deserializer, mailbox)
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.trim().parse().map_err(|_| {
        "must be an e-mail address, with or without a name: \"identity@example.com\" or \
         \"Identity Team <identity@example.com>\""
            .to_owned()
    })
}

/// One of those who get messages.
#[derive(Clone, Debug)]
pub(super) struct Recipient(pub(super) Mailbox);

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |text| mailbox(text).map(Self))
    }
}

schema!(Recipient, "Recipient", { "type": "string", "pattern": "@" });
