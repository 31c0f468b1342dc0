//! When a token ends and whose it is, read from the token itself (a JWT's claims). Nothing is
//! verified: the server does that. It only lets people renew the token before it ends, and proposes
//! its owner to them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::time::Timestamp;
use crate::settings::OpseraSettings;

/// A token that ends sooner is told of: renewing one needs an Administrator of Opsera.
pub const TOKEN_ENDS_SOON: TimeDelta = TimeDelta::days(14);

/// When `opsera.token` ends, as the token itself says; `None` where it does not say.
pub fn opsera_token_expires_at(settings: &OpseraSettings) -> Option<Timestamp> {
    expires_at(settings.token.expose_secret())
}

#[derive(Deserialize)]
struct Expiry {
    exp: f64,
}

/// The claims that name a token's owner, by address or by the account's id, the surest first.
const OWNER_CLAIMS: [&str; 5] = ["email", "preferred_username", "upn", "user_id", "sub"];

fn claims<T: DeserializeOwned>(token: &str) -> Option<T> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok()
}

/// Whom `token` names as its owner, by address or id; the surest first.
pub(super) fn owner_names(token: &str) -> Vec<String> {
    let claims: serde_json::Map<String, serde_json::Value> = claims(token).unwrap_or_default();
    OWNER_CLAIMS
        .iter()
        .filter_map(|claim| claims.get(*claim)?.as_str())
        .map(str::to_owned)
        .collect()
}

/// The end of `token`; `None` where it is no JWT or names none.
fn expires_at(token: &str) -> Option<Timestamp> {
    let claims: Expiry = claims(token)?;
    let since_epoch = std::time::Duration::try_from_secs_f64(claims.exp).ok()?;
    let seconds = i64::try_from(since_epoch.as_secs()).ok()?;
    Timestamp::from_timestamp(seconds, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_end_of_a_jwt_is_read_without_its_key() {
        let end = expires_at(&token(r#"{"sub":"x","exp":1767225600,"roles":[]}"#));
        assert_eq!(end, "2026-01-01T00:00:00Z".parse().ok());
    }

    #[test]
    fn the_owner_of_a_jwt_is_named_by_address_before_id() {
        let names = owner_names(&token(r#"{"sub":"5f1","exp":1,"email":"bot@example.com"}"#));
        assert_eq!(names, ["bot@example.com", "5f1"]);
        assert_eq!(owner_names("opaque-token"), [""; 0]);
    }

    #[test]
    fn what_is_no_jwt_with_an_end_has_none() {
        for text in [
            "opaque-token".to_owned(),
            "a.b.c".to_owned(),
            token("{}"),
            token(r#"{"exp":"soon"}"#),
            token(r#"{"exp":-1}"#),
            token(r#"{"exp":1e300}"#),
        ] {
            assert_eq!(expires_at(&text), None, "{text}");
        }
    }
}
