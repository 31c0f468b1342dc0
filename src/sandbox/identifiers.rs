//! Ids and tokens, drawn from a seed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Builder;

use crate::domain::time::Timestamp;

/// An id as OPA gives it.
pub(super) fn uuid(rng: &mut StdRng) -> String {
    Builder::from_random_bytes(rng.random())
        .into_uuid()
        .to_string()
}

/// An id as Opsera gives it: 24 hexadecimal digits.
pub(super) fn object_id(rng: &mut StdRng) -> String {
    let bytes: [u8; 12] = rng.random();
    hex::encode(bytes)
}

/// A credential.
pub(super) fn opaque_token(rng: &mut StdRng) -> String {
    let bytes: [u8; 24] = rng.random();
    hex::encode(bytes)
}

/// A personal access token of Opsera: a JWT whose `exp` a client can read. Nobody verifies the
/// signature here, the whole token is compared, so it is a mere hash.
pub(super) fn personal_access_token(
    rng: &mut StdRng,
    issued_at: Timestamp,
    expires_at: Timestamp,
) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let claims = json!({
        "jti": opaque_token(rng),
        "iat": issued_at.timestamp(),
        "exp": expires_at.timestamp(),
        "scopes": ["api"],
    });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = URL_SAFE_NO_PAD.encode(Sha256::digest(&signed));
    format!("{signed}.{signature}")
}
