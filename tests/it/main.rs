//! Everything that crosses HTTP, disk or a process boundary, one file per behaviour.

mod bad_server;
mod directory_limits;
mod directory_setup;
mod opa_listing;
mod opa_tokens;
