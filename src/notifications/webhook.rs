//! The webhook over HTTP: one POST, bounded, never redirected.

use std::fmt;

use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::clients::{ClientError, Transport};
use crate::domain::time::SharedClock;
use crate::settings::{NotifyFormat, Settings};

/// The setting that errors name in place of the URL.
const SETTING: &str = "notify.webhook_url";

/// Why nobody could be told.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
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
pub struct WebhookClient {
    client: reqwest::Client,
    url: SecretString,
    settings: crate::settings::NotifySettings,
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
    /// The webhook's URL or `http.ca_file` cannot be used.
    pub fn new(settings: &Settings, clock: SharedClock) -> Result<Option<Self>, NotifyError> {
        let notify = &settings.notify;
        let Some(secret) = &notify.webhook_url else {
            return Ok(None);
        };
        let url = Url::parse(secret.expose_secret()).map_err(|_| NotifyError::Url)?;
        let client = Transport::new(&settings.http, clock)
            .and_then(|transport| transport.webhook_client(&url, SETTING, notify.timeout))
            .map_err(NotifyError::Client)?;
        Ok(Some(Self {
            client,
            url: secret.clone(),
            settings: notify.clone(),
        }))
    }

    /// `notify.format`
    pub fn format(&self) -> NotifyFormat {
        self.settings.format
    }

    /// `notify.routing_key`
    pub fn routing_key(&self) -> Option<&str> {
        self.settings
            .routing_key
            .as_ref()
            .map(secrecy::ExposeSecret::expose_secret)
    }

    /// `notify.repeat_after`
    pub fn repeat_after(&self) -> std::time::Duration {
        self.settings.repeat_after
    }

    /// Sends one message; returns once the webhook has taken it.
    ///
    /// # Errors
    /// No answer within `notify.timeout`, or none that is a success.
    pub async fn send(&self, body: String) -> Result<(), NotifyError> {
        let answer = self
            .client
            .post(self.url.expose_secret())
            .header(CONTENT_TYPE, "application/json")
            .timeout(self.settings.timeout)
            .body(body)
            .send()
            .await
            .map_err(|error| NotifyError::NoAnswer(error.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(NotifyError::Refused(status))
        }
    }
}
