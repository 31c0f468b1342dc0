//! The sandbox behaves as the two APIs are described, and its faults do what they say.

mod changes;
mod command;
mod faults;
mod opa;
mod opsera;
mod organisation;
mod service;

use rolecall::domain::time::ManualClock;
use rolecall::sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;

/// A sandbox with a raw client: what is tested here must not pass through the product's own.
struct Bench {
    sandbox: Sandbox,
    clock: std::sync::Arc<ManualClock>,
    client: reqwest::Client,
    opa_token: String,
}

/// What came back.
struct Reply {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
}

impl Bench {
    async fn empty() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(adjust: impl FnOnce(&mut SandboxOptions)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = ManualClock::at("2026-03-01T12:00:00Z".parse().unwrap());
        let mut options = SandboxOptions::empty(clock.clone());
        adjust(&mut options);
        let sandbox = Sandbox::start(options).await.unwrap();
        let opa_token = sandbox.opa().issue_token();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            sandbox,
            clock,
            client,
            opa_token,
        }
    }

    /// A call below the Team.
    async fn opa(&self, path: &str) -> Reply {
        let url = format!("{}/v1/teams/example{path}", self.sandbox.opa_url());
        self.opa_at(&url).await
    }

    async fn opa_at(&self, url: &str) -> Reply {
        let request = self.client.get(url).bearer_auth(&self.opa_token);
        reply(request).await.unwrap()
    }

    /// A call to Opsera, or what the transport says.
    async fn try_opsera(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Reply, reqwest::Error> {
        let url = format!("{}/api/v2/usermanagement{path}", self.sandbox.opsera_url());
        let request = self
            .client
            .request(method.parse().unwrap(), url)
            .bearer_auth(self.sandbox.opsera_token());
        reply(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn opsera(&self, method: &str, path: &str) -> Reply {
        self.try_opsera(method, path, None).await.unwrap()
    }

    async fn opsera_with(&self, method: &str, path: &str, body: Value) -> Reply {
        self.try_opsera(method, path, Some(body)).await.unwrap()
    }
}

async fn reply(request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
    let response = request.send().await?;
    Ok(Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await?,
    })
}

/// One field of each element of an array.
fn column(list: &Value, field: &str) -> Vec<String> {
    let text = |item: &Value| item[field].as_str().unwrap_or_default().to_owned();
    list.as_array().unwrap().iter().map(text).collect()
}
