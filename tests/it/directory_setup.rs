//! Clients of a [`BadServer`](crate::bad_server::BadServer) on a clock that the test moves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rolecall::clients::{ApiRecord, CallError, Opa, OpseraReader, Pages, Transport};
use rolecall::domain::base_url::{BaseUrl, PlainHttp};
use rolecall::domain::time::{ManualClock, Timestamp};
use rolecall::settings::{
    HttpSettings, OpaCredentials, OpaSettings, OpseraSettings, RetrySettings,
};

/// Real time that a request may take in these tests.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(400);

/// 2026-01-01T00:00:00Z
pub(crate) const NOW: i64 = 1_767_225_600;

/// Both clients and their clock.
pub(crate) struct Clients {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) transport: Transport,
    pub(crate) opa: Opa,
    pub(crate) opsera: OpseraReader,
}

/// Clients of `url` with a fixed token.
pub(crate) fn clients(url: &str) -> Clients {
    clients_with(url, OpaCredentials::Token("fixed-token".into()))
}

/// Clients of `url` with a key that mints tokens.
pub(crate) fn minting_clients(url: &str) -> Clients {
    let key = OpaCredentials::Key {
        id: "key-id".to_owned(),
        secret: "key-s3cret".into(),
    };
    clients_with(url, key)
}

/// Clients of `url` that also trust the certificates in `ca_file`.
pub(crate) fn clients_trusting(url: &str, ca_file: &Path) -> Clients {
    let credentials = OpaCredentials::Token("fixed-token".into());
    build(url, credentials, Some(ca_file.to_owned()))
}

fn clients_with(url: &str, credentials: OpaCredentials) -> Clients {
    build(url, credentials, None)
}

fn build(url: &str, credentials: OpaCredentials, ca_file: Option<PathBuf>) -> Clients {
    let clock = ManualClock::at(Timestamp::from_timestamp(NOW, 0).unwrap());
    let http = HttpSettings {
        listen: None,
        ca_file,
        allow_insecure: false,
    };
    let retry = RetrySettings {
        max_attempts: 5,
        base_delay: Duration::from_millis(500),
        max_delay: Duration::from_mins(1),
        rejected_retry: Duration::from_hours(24),
    };
    let opa = OpaSettings {
        base_url: BaseUrl::parse(url, PlainHttp::LoopbackOnly).unwrap(),
        team: "Team".to_owned(),
        credentials,
        page_size: 2,
        requests_per_second: 10.0,
        burst: 10,
        quota_reserve_percent: 20,
        timeout: TIMEOUT,
        pull_timeout: Duration::from_mins(15),
    };
    let opsera = OpseraSettings {
        base_url: BaseUrl::parse(url, PlainHttp::LoopbackOnly).unwrap(),
        token: "opsera-token".into(),
        site_role_path: "/api/v2/usermanagement/user/{user}/siterole".to_owned(),
        requests_per_second: 5.0,
        burst: 5,
        max_in_flight: 4,
        timeout: TIMEOUT,
        pull_timeout: Duration::from_mins(15),
    };
    let transport = Transport::new(&http, clock.clone()).unwrap();
    Clients {
        opa: Opa::new(&transport, &opa, &retry).unwrap(),
        opsera: OpseraReader::new(&transport, &opsera, &retry).unwrap(),
        transport,
        clock,
    }
}

/// The whole listing.
pub(crate) async fn all<R: ApiRecord>(mut pages: Pages<'_, R>) -> Result<Vec<R::Model>, CallError> {
    let mut models = Vec::new();
    while let Some(page) = pages.next_page().await? {
        models.extend(page);
    }
    Ok(models)
}

/// The ids of every account, or what went wrong.
pub(crate) async fn accounts(opsera: &OpseraReader) -> Result<Vec<String>, CallError> {
    let mut stream = opsera.list_users();
    let mut ids = Vec::new();
    while let Some(batch) = stream.next_batch().await? {
        assert!(batch.len() <= 500);
        ids.extend(batch.into_iter().map(|account| account.id.to_string()));
    }
    Ok(ids)
}
