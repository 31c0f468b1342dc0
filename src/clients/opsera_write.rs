//! Opsera's accounts, changed: the only thing in the program that can.
//!
//! Each call is one request, which goes out at once: whoever calls has waited for its
//! [`RatePermit`], so that nothing stands between the announcement (A1) and the request but the request itself, and
//! a signal that comes while it waits still stops it (A10). It is never repeated here: the queue
//! announces every attempt before it is made and looks before it tries again (A4).

use reqwest::Method;
use serde_json::json;

use super::call::Call;
use super::error::CallError;
use super::http::Request;
use super::opsera::OpseraReader;
use super::path;
use super::session::Answer;
use crate::domain::{Mode, NewAccount, OpseraId, SiteRole};

/// The client of Opsera that can write.
#[derive(Clone, Debug)]
pub struct OpseraWriter {
    reader: OpseraReader,
}

/// The right to send one request now: the rate limit allows it and no pause is on.
#[derive(Debug)]
#[must_use = "a permit that is not used slows the client down for nothing"]
pub struct RatePermit(());

impl OpseraWriter {
    /// The client of a run that applies its plan; `None` for a dry run, which never gets one.
    pub(crate) fn new(reader: &OpseraReader, mode: Mode) -> Option<Self> {
        match mode {
            Mode::DryRun => None,
            Mode::Apply => Some(Self {
                reader: reader.clone(),
            }),
        }
    }

    /// The same client, for reading.
    pub fn reader(&self) -> &OpseraReader {
        &self.reader
    }

    /// Waits until Opsera may be asked again.
    pub async fn wait_until_unpaused(&self) {
        self.reader.wait_until_unpaused().await;
    }

    /// Waits until one more request may go out.
    pub async fn wait_for_permit(&self) -> RatePermit {
        let http = &self.reader.session.http;
        // Without a deadline the wait always ends with the permit.
        if let Ok(waited) = http.rate_limiter.wait(None).await {
            http.metrics.waited(http.api, waited);
        }
        RatePermit(())
    }

    /// Deactivates an account. Cannot be undone.
    pub async fn deactivate(
        &self,
        _permit: RatePermit,
        id: &OpseraId,
    ) -> Result<Answer, CallError> {
        let tail = format!("/user/{}", self.segment("DELETE /user/{id}", id)?);
        let request = Request {
            method: Method::DELETE,
            url: path::below(&self.reader.base, &tail),
            call: Call(format!("DELETE {tail}")),
            json: None,
        };
        self.reader.session.write(&request).await
    }

    /// Creates an account.
    pub async fn create(
        &self,
        _permit: RatePermit,
        account: &NewAccount,
    ) -> Result<Answer, CallError> {
        let request = Request {
            method: Method::POST,
            url: path::below(&self.reader.base, "/user"),
            call: Call("POST /user".to_owned()),
            json: Some(json!({
                "email": account.email,
                "firstName": account.first_name,
                "lastName": account.last_name,
                "siteRole": account.site_role.as_str(),
            })),
        };
        self.reader.session.write(&request).await
    }

    /// Gives an account another site role.
    pub async fn set_role(
        &self,
        _permit: RatePermit,
        id: &OpseraId,
        role: SiteRole,
    ) -> Result<Answer, CallError> {
        let segment = self.segment("PUT /user/{id}/siterole", id)?;
        let path = self.reader.site_role_path.replace("{user}", &segment);
        let request = Request {
            method: Method::PUT,
            url: path::below(&self.reader.root, &path),
            call: Call(format!("PUT /user/{segment}/siterole")),
            json: Some(json!({ "siteRole": role.as_str() })),
        };
        self.reader.session.write(&request).await
    }

    fn segment(&self, call: &str, id: &OpseraId) -> Result<String, CallError> {
        path::segment(id.as_str())
            .map_err(|name| self.reader.session.http.invalid_segment(call, name))
    }
}

#[cfg(test)]
#[path = "opsera_write_tests.rs"]
mod tests;
