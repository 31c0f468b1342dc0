//! The webhook over HTTP: one POST, bounded, never redirected.

use std::fmt;

use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::clients::{ClientError, Transport};
use crate::settings::{NotifyFormat, NotifySettings};

/// The setting that errors name in place of the URL.
const SETTING: &str = "notify.webhook_url";

/// Why the webhook was not told.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// No client can be made for the webhook.
    #[error("notify.webhook_url cannot be used")]
    Client(#[source] ClientError),
    /// The URL is none; validation refuses it before it comes here.
    #[error("notify.webhook_url is not an address of a server")]
    Url,
    /// No answer.
    #[error("the webhook did not answer")]
    NoAnswer(#[source] reqwest::Error),
    /// An answer that is no success. A redirect is not followed.
    #[error("the webhook answered {0}")]
    Refused(reqwest::StatusCode),
}

/// Sends messages to the webhook.
#[derive(Clone)]
pub(super) struct WebhookClient {
    client: reqwest::Client,
    url: SecretString,
    settings: NotifySettings,
}

impl fmt::Debug for WebhookClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookClient").finish_non_exhaustive()
    }
}

impl WebhookClient {
    /// The client of these settings; `None` where no webhook is set.
    ///
    /// # Errors
    /// The webhook's URL cannot be used.
    pub(super) fn new(
        transport: &Transport,
        notify: &NotifySettings,
    ) -> Result<Option<Self>, WebhookError> {
        let Some(secret) = &notify.webhook_url else {
            return Ok(None);
        };
        let url = Url::parse(secret.expose_secret()).map_err(|_| WebhookError::Url)?;
        let client = transport
            .webhook_client(&url, SETTING, notify.timeout)
            .map_err(WebhookError::Client)?;
        Ok(Some(Self {
            client,
            url: secret.clone(),
            settings: notify.clone(),
        }))
    }

    /// `notify.format`
    pub(super) fn format(&self) -> NotifyFormat {
        self.settings.format
    }

    /// `notify.routing_key`
    pub(super) fn routing_key(&self) -> Option<&str> {
        self.settings
            .routing_key
            .as_ref()
            .map(secrecy::ExposeSecret::expose_secret)
    }

    /// Sends one message; returns once the webhook has taken it.
    ///
    /// # Errors
    /// No answer within `notify.timeout`, or none that is a success.
    pub(super) async fn send(&self, body: String) -> Result<(), WebhookError> {
        let answer = self
            .client
            .post(self.url.expose_secret())
            .header(CONTENT_TYPE, "application/json")
            .timeout(self.settings.timeout)
            .body(body)
            .send()
            .await
            .map_err(|error| WebhookError::NoAnswer(error.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(WebhookError::Refused(status))
        }
    }
}
