//! The decision about a held plan (§6): `rolecall plan approve|reject`, and `rolecall review`, which
//! takes the same decision from one page in a browser.
//!
//! ```text
//! browser ──▶ [`serving`](crate::serving) ──▶ gate: Host, path, cookie, Origin ──▶ page | decision
//! ```
//!
//! The page is served on the loopback interface to whoever opens its address first. The address
//! holds a token of 256 bits, which can be used once: it is exchanged for a cookie of another 256
//! bits. The cookie's path is the address itself, because a browser sends cookies of 127.0.0.1 to
//! every port of it: another server on this machine would have to know the path to be sent the
//! cookie, and would need the cookie to make use of the path.

mod decide;
mod gate;
mod server;

pub use decide::{Asked, Decision, Decisions, reported};
pub use server::{End, Limits, Review};
