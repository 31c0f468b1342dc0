//! Everything that crosses HTTP, disk or a process boundary, one file per behaviour.

mod audit_forgeries;
mod audit_format;
mod store_opening;
