//! Who is told: the webhook, and each address of `smtp.to`.

use std::fmt;

use lettre::message::Mailbox;

use super::formats::body;
use super::letter::letter;
use super::message::Message;
use super::webhook::{WebhookClient, WebhookError};
use crate::clients::{ClientError, MailError, MailServer, Transport};
use crate::domain::time::SharedClock;
use crate::settings::Settings;

/// Why somebody could not be told.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// No client can be made.
    #[error("no messages can be sent")]
    Client(#[from] ClientError),
    /// The webhook did not take it.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The mail server did not take it.
    #[error("{0}; {remedy}", remedy = .0.remedy())]
    Mail(#[from] MailError),
}

/// Everybody who is told.
#[derive(Debug)]
pub struct Receivers {
    webhook: Option<WebhookClient>,
    mail: Option<(MailServer, Vec<Mailbox>)>,
}

impl Receivers {
    /// Whether these settings name anybody.
    pub(super) fn are_set(settings: &Settings) -> bool {
        settings.notify.webhook_url.is_some() || settings.smtp.is_some()
    }

    /// Those of these settings.
    ///
    /// # Errors
    /// The webhook's URL or `http.ca_file` cannot be used.
    pub fn new(settings: &Settings, clock: SharedClock) -> Result<Self, NotifyError> {
        let notify = &settings.notify;
        let transport = Transport::new(&settings.http, clock)?;
        let mail = match &settings.smtp {
            Some(smtp) => {
                let server = MailServer::new(&transport, smtp, notify.timeout)?;
                Some((server, smtp.to.clone()))
            }
            None => None,
        };
        Ok(Self {
            webhook: WebhookClient::new(&transport, notify)?,
            mail,
        })
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Receiver<'_>> {
        let webhook = self.webhook.iter().map(Receiver::Webhook);
        let mail = self.mail.iter().flat_map(|(server, addresses)| {
            addresses
                .iter()
                .map(move |address| Receiver::Mailbox(server, address))
        });
        webhook.chain(mail)
    }
}

/// One of those who are told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Receiver<'r> {
    Webhook(&'r WebhookClient),
    Mailbox(&'r MailServer, &'r Mailbox),
}

impl Receiver<'_> {
    /// Under which name the store remembers what it was told.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Webhook(_) => "webhook".to_owned(),
            Self::Mailbox(_, mailbox) => format!("mail:{}", mailbox.email).to_lowercase(),
        }
    }

    /// Tells it; returns once it is taken, or if this receiver is not told of such an event.
    pub(super) async fn send(&self, message: &Message<'_>) -> Result<(), NotifyError> {
        match self {
            Self::Webhook(client) => {
                if let Some(body) = body(client.format(), message, client.routing_key()) {
                    client.send(body).await?;
                }
            }
            Self::Mailbox(server, mailbox) => {
                if let Some(letter) = letter(message) {
                    server.send(mailbox, letter).await?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Receiver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(_) => f.write_str("the webhook"),
            Self::Mailbox(_, mailbox) => write!(f, "{}", mailbox.email),
        }
    }
}
