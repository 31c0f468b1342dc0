//! `[opa]`, `[opsera]` and `[notify]`: the servers, and what opens them.

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{Reader, Zero};
use crate::domain::Address;
use crate::settings::secrets::{self, Found};
use crate::settings::{NotifyFormat, NotifySettings, OpaCredentials, OpaSettings, OpseraSettings};

pub(super) fn opa(r: &mut Reader<'_>) -> Option<OpaSettings> {
    let base_url = base_url(r, "opa.base_url", "\"https://example.pam.okta.com\"");
    let team = r.required("opa.team", "\"example\"").filter(|team| {
        let usable = !team.chars().any(char::is_control) && team != "." && team != "..";
        if !usable {
            r.refuse("opa.team", "is not a Team's name".to_owned());
        }
        usable
    });
    let credentials = opa_credentials(r);
    let page_size = r.whole("opa.page_size", &(1..=1000));
    let requests_per_second = r.rate("opa.requests_per_second");
    let burst = r.whole("opa.burst", &(1..=u32::MAX));
    let quota_reserve_percent = r.whole("opa.quota_reserve_percent", &(0..=90));
    let timeout = r.duration("opa.timeout", Zero::Refused);
    let pull_timeout = r.duration("opa.pull_timeout", Zero::Refused);
    Some(OpaSettings {
        base_url: base_url?,
        team: team?,
        credentials: credentials?,
        page_size: page_size?,
        requests_per_second: requests_per_second?,
        burst: burst?,
        quota_reserve_percent: u8::try_from(quota_reserve_percent?).ok()?,
        timeout: timeout?,
        pull_timeout: pull_timeout?,
    })
}

fn opa_credentials(r: &mut Reader<'_>) -> Option<OpaCredentials> {
    let id = r.text("opa.key_id");
    let secret = secrets::read(r, "opa.key_secret", "opa.key_secret_file");
    let token = secrets::read(r, "opa.token", "opa.token_file");
    let id = id?;
    match (id.is_empty(), secret, token) {
        (_, Found::Refused, _) | (_, _, Found::Refused) => None,
        (false, Found::Secret(secret, _), Found::NotSet) => {
            Some(OpaCredentials::Key { id, secret })
        }
        (true, Found::NotSet, Found::Secret(token, key)) => {
            header_safe(r, key, token).map(OpaCredentials::Token)
        }
        (true, Found::NotSet, Found::NotSet) => {
            r.refuse(
                "opa.key_id",
                "OPA needs credentials: set opa.key_id with opa.key_secret_file (or \
                 opa.key_secret), or set opa.token_file (or opa.token)"
                    .to_owned(),
            );
            None
        }
        (false, Found::NotSet, Found::NotSet) => {
            r.refuse(
                "opa.key_secret",
                "is required with opa.key_id; set it or opa.key_secret_file".to_owned(),
            );
            None
        }
        (true, Found::Secret(..), Found::NotSet) => {
            r.refuse("opa.key_id", "is required with opa.key_secret".to_owned());
            None
        }
        (_, _, Found::Secret(_, key)) => {
            r.refuse(
                key,
                "a key (opa.key_id, opa.key_secret) and a token (opa.token, opa.token_file) are \
                 both set; remove one of the two"
                    .to_owned(),
            );
            None
        }
    }
}

pub(super) fn opsera(r: &mut Reader<'_>) -> Option<OpseraSettings> {
    let base_url = base_url(r, "opsera.base_url", "\"https://app.opsera.io\"");
    let token = match secrets::read(r, "opsera.token", "opsera.token_file") {
        Found::Secret(token, key) => header_safe(r, key, token),
        Found::NotSet => {
            r.refuse(
                "opsera.token",
                "is required; set it or opsera.token_file".to_owned(),
            );
            None
        }
        Found::Refused => None,
    };
    let site_role_path = site_role_path(r);
    let requests_per_second = r.rate("opsera.requests_per_second");
    let burst = r.whole("opsera.burst", &(1..=u32::MAX));
    let max_in_flight = r.whole("opsera.max_in_flight", &(1..=1000));
    let timeout = r.duration("opsera.timeout", Zero::Refused);
    let pull_timeout = r.duration("opsera.pull_timeout", Zero::Refused);
    // What is wrong with the address is noted with the rest of the policy.
    let token_owner = owner(r).ok().flatten();
    Some(OpseraSettings {
        base_url: base_url?,
        token: token?,
        token_owner,
        site_role_path: site_role_path?,
        requests_per_second: requests_per_second?,
        burst: burst?,
        max_in_flight: max_in_flight?,
        timeout: timeout?,
        pull_timeout: pull_timeout?,
    })
}

/// `opsera.token_owner`, or what is wrong with it.
pub(super) fn owner(r: &mut Reader<'_>) -> Result<Option<Address>, String> {
    match r
        .layers
        .value("opsera.token_owner")
        .map(|value| &value.kind)
    {
        Some(config::ValueKind::String(text)) if text.trim().is_empty() => Ok(None),
        Some(config::ValueKind::String(text)) => Address::parse(text)
            .map(Some)
            .map_err(|why| format!("is not an e-mail address: {why}")),
        _ => Err("must be an e-mail address in quotes".to_owned()),
    }
}

pub(super) fn notify(r: &mut Reader<'_>) -> Option<NotifySettings> {
    let webhook_url = match secrets::read(r, "notify.webhook_url", "notify.webhook_url_file") {
        Found::Secret(address, key) => webhook(r, key, address).map(Some),
        Found::NotSet => Some(None),
        Found::Refused => None,
    };
    let format = r.choice(
        "notify.format",
        &[("slack", NotifyFormat::Slack), ("json", NotifyFormat::Json)],
    );
    let repeat_after = r.duration("notify.repeat_after", Zero::Allowed);
    let timeout = r.duration("notify.timeout", Zero::Refused);
    Some(NotifySettings {
        webhook_url: webhook_url?,
        format: format?,
        repeat_after: repeat_after?,
        timeout: timeout?,
    })
}

fn webhook(r: &mut Reader<'_>, key: &str, address: SecretString) -> Option<SecretString> {
    let problem = match Url::parse(address.expose_secret()) {
        Err(error) => Some(format!("is not an address of a server: {error}")),
        Ok(url) => r.url_problem(&url),
    };
    if let Some(problem) = problem {
        r.refuse(key, problem);
        return None;
    }
    Some(address)
}

fn base_url(r: &mut Reader<'_>, key: &'static str, example: &str) -> Option<Url> {
    let text = r.required(key, example)?;
    let problem = match Url::parse(text.trim()) {
        Err(error) => Some(format!(
            "is not an address of a server ({error}), e.g. {example}"
        )),
        Ok(url) => match r.url_problem(&url) {
            None if url.query().is_some() || url.fragment().is_some() => {
                Some("must not have a ? or # part".to_owned())
            }
            None => return Some(url),
            problem => problem,
        },
    };
    if let Some(problem) = problem {
        r.refuse(key, problem);
    }
    None
}

fn header_safe(r: &mut Reader<'_>, key: &str, token: SecretString) -> Option<SecretString> {
    if token
        .expose_secret()
        .bytes()
        .all(|byte| byte.is_ascii_graphic())
    {
        return Some(token);
    }
    r.refuse(
        key,
        "the token has characters that no token has (spaces or non-ASCII)".to_owned(),
    );
    None
}

fn site_role_path(r: &mut Reader<'_>) -> Option<String> {
    let key = "opsera.site_role_path";
    let path = r.text(key)?;
    let rest = path.replacen("{user}", "", 1);
    let problem = if !path.starts_with('/') {
        "must begin with /"
    } else if path.matches("{user}").count() != 1 {
        "must hold {user} exactly once, where the account's id goes"
    } else if rest.contains(['{', '}', '?', '#', '\\'])
        || rest.chars().any(|c| c.is_whitespace() || c.is_control())
        || rest.starts_with("//")
        || rest.split('/').any(|segment| segment == "..")
    {
        "must be a plain path: no ?, #, \\, spaces, .. or other braces"
    } else {
        return Some(path);
    };
    r.refuse(key, problem.to_owned());
    None
}
