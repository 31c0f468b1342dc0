//! Ids and tokens, rolled from a seed.

use rand::RngExt as _;
use rand::rngs::StdRng;
use uuid::Builder;

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
