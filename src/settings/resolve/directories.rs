//! `[opa]` and `[opsera]`: the servers, and what opens them.

use secrecy::{ExposeSecret as _, SecretString};

use super::Resolver;
use crate::domain::base_url::{BaseUrl, InvalidBaseUrl, PlainHttp};
use crate::settings::secrets::{self, Found};
use crate::settings::sections::Sections;
use crate::settings::{OpaCredentials, OpaSettings, OpseraSettings};

pub(super) fn opa(r: &mut Resolver<'_>, sections: &Sections) -> Option<OpaSettings> {
    let opa = &sections.opa;
    let example = "\"https://example.pam.okta.com\"";
    let base_url = base_url(r, sections, "opa.base_url", &opa.base_url, example);
    if opa.team.trim().is_empty() {
        r.require(&["opa.team"], "is required, e.g. \"example\"");
    } else if opa.team.chars().any(char::is_control) || matches!(opa.team.as_str(), "." | "..") {
        r.refuse("opa.team", "is not a Team's name");
    }
    let credentials = opa_credentials(r, sections);
    Some(OpaSettings {
        base_url: base_url?,
        team: opa.team.clone(),
        credentials: credentials?,
        page_size: opa.page_size.0,
        requests_per_second: opa.requests_per_second.0,
        burst: opa.burst.0,
        quota_reserve_percent: u8::try_from(opa.quota_reserve_percent.0).ok()?,
        timeout: opa.timeout,
        pull_timeout: opa.pull_timeout,
    })
}

fn opa_credentials(r: &mut Resolver<'_>, sections: &Sections) -> Option<OpaCredentials> {
    let opa = &sections.opa;
    let secret_file = opa.key_secret_file.as_deref();
    let secret = secrets::read(r, "opa.key_secret", &opa.key_secret, secret_file);
    let token = secrets::read(r, "opa.token", &opa.token, opa.token_file.as_deref());
    let has_id = !opa.key_id.is_empty();
    match (has_id, secret, token) {
        (_, Found::Refused, _) | (_, _, Found::Refused) => {}
        (true, Found::Secret(secret, _), Found::NotSet) => {
            let id = opa.key_id.clone();
            return Some(OpaCredentials::Key { id, secret });
        }
        (false, Found::NotSet, Found::Secret(token, key)) => {
            return header_safe(r, &key, token).map(OpaCredentials::Token);
        }
        (false, Found::NotSet, Found::NotSet) => r.require(
            &[
                "opa.key_id",
                "opa.key_secret",
                "opa.key_secret_file",
                "opa.token",
                "opa.token_file",
            ],
            "OPA needs credentials: set opa.key_id with opa.key_secret_file (or opa.key_secret), \
             or set opa.token_file (or opa.token)",
        ),
        (true, Found::NotSet, Found::NotSet) => r.require(
            &["opa.key_secret", "opa.key_secret_file"],
            "is required with opa.key_id; set it or opa.key_secret_file",
        ),
        (false, Found::Secret(..), Found::NotSet) => {
            r.require(&["opa.key_id"], "is required with opa.key_secret");
        }
        (_, _, Found::Secret(_, key)) => r.refuse(
            &key,
            "a key (opa.key_id, opa.key_secret) and a token (opa.token, opa.token_file) are both \
             set; remove one of the two",
        ),
    }
    None
}

pub(super) fn opsera(r: &mut Resolver<'_>, sections: &Sections) -> Option<OpseraSettings> {
    let opsera = &sections.opsera;
    let example = "\"https://app.opsera.io\"";
    let base_url = base_url(r, sections, "opsera.base_url", &opsera.base_url, example);
    let token_file = opsera.token_file.as_deref();
    let token = match secrets::read(r, "opsera.token", &opsera.token, token_file) {
        Found::Secret(token, key) => header_safe(r, &key, token),
        Found::NotSet => {
            r.require(
                &["opsera.token", "opsera.token_file"],
                "is required; set it or opsera.token_file",
            );
            None
        }
        Found::Refused => None,
    };
    Some(OpseraSettings {
        base_url: base_url?,
        token: token?,
        site_role_path: opsera.site_role_path.clone(),
        requests_per_second: opsera.requests_per_second.0,
        burst: opsera.burst.0,
        max_in_flight: opsera.max_in_flight.0,
        timeout: opsera.timeout,
        pull_timeout: opsera.pull_timeout,
    })
}

fn base_url(
    r: &mut Resolver<'_>,
    sections: &Sections,
    key: &str,
    text: &str,
    example: &str,
) -> Option<BaseUrl> {
    if text.trim().is_empty() {
        r.require(&[key], format!("is required, e.g. {example}"));
        return None;
    }
    match BaseUrl::parse(text, plain_http(sections)) {
        Ok(url) => Some(url),
        Err(problem @ InvalidBaseUrl::NotAnAddress(_)) => {
            r.refuse(key, format!("{problem}, e.g. {example}"));
            None
        }
        Err(problem) => {
            r.refuse(key, problem.to_string());
            None
        }
    }
}

pub(super) fn plain_http(sections: &Sections) -> PlainHttp {
    PlainHttp::allowed_if(sections.http.allow_insecure)
}

fn header_safe(r: &mut Resolver<'_>, key: &str, token: SecretString) -> Option<SecretString> {
    let is_safe = token.expose_secret().bytes().all(|b| b.is_ascii_graphic());
    if !is_safe {
        r.refuse(
            key,
            "the token has characters that no token has (spaces or non-ASCII)",
        );
    }
    is_safe.then_some(token)
}
