//! Everything that crosses HTTP, disk or a process boundary, one file per behaviour.

#[cfg(test)]
mod audit_forgeries;
#[cfg(test)]
mod audit_format;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod store_opening;
