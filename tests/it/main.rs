//! Everything that crosses HTTP, disk or a process boundary, one file per behaviour.

#[cfg(test)]
mod audit_forgeries;
#[cfg(test)]
mod audit_format;
#[cfg(test)]
mod bad_disk;
#[cfg(test)]
mod bad_server;
#[cfg(test)]
mod child;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod directory_limits;
#[cfg(test)]
mod directory_setup;
#[cfg(test)]
mod fault_world;
#[cfg(test)]
mod interrupts;
#[cfg(test)]
mod mounts;
#[cfg(test)]
mod opa_listing;
#[cfg(test)]
mod opa_tokens;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod queue_machine;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod store_opening;
#[cfg(test)]
mod store_surprises;
#[cfg(test)]
mod strace_kills;
#[cfg(test)]
mod target_faults;
