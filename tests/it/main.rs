//! Everything that crosses HTTP, disk or a process boundary, one file per behaviour.

#[cfg(test)]
mod audit_forgeries;
#[cfg(test)]
mod audit_format;
#[cfg(test)]
mod bad_server;
#[cfg(test)]
mod check;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod directory_limits;
#[cfg(test)]
mod directory_setup;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod opa_listing;
#[cfg(test)]
mod opa_tokens;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod store_opening;
