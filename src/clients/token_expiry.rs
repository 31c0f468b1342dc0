//! When a token ends, read from the token itself (a JWT's `exp`). Nothing is verified: the server
//! does that. It only lets people renew the token before it ends.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::domain::time::Timestamp;
use crate::settings::OpseraSettings;

/// A token that ends sooner is told of: renewing one needs an Administrator of Opsera.
pub const TOKEN_ENDS_SOON: TimeDelta = TimeDelta::days(14);

/// When `opsera.token` ends, as the token itself says; `None` where it does not say.
pub fn opsera_token_expires_at(settings: &OpseraSettings) -> Option<Timestamp> {
    expires_at(settings.token.expose_secret())
}

#[derive(Deserialize)]
struct Claims {
    exp: f64,
}

/// The end of `token`; `None` where it is no JWT or names none.
fn expires_at(token: &str) -> Option<Timestamp> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&json).ok()?;
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
