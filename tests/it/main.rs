//! Everything that crosses HTTP, disk or a process boundary, one file per behaviour.

#[cfg(test)]
mod audit_commands;
#[cfg(test)]
mod audit_forgeries;
#[cfg(test)]
mod audit_format;
#[cfg(test)]
mod audit_old_format;
#[cfg(test)]
mod audit_pack;
#[cfg(test)]
mod audit_siem;
#[cfg(test)]
mod audit_stream;
#[cfg(test)]
mod bad_disk;
#[cfg(test)]
mod bad_server;
#[cfg(test)]
mod check;
#[cfg(test)]
mod child;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clock_trust;
#[cfg(test)]
mod completeness;
#[cfg(test)]
mod completion;
#[cfg(test)]
mod core_dumps;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod daemon_world;
#[cfg(test)]
mod damaged_values;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod directory_limits;
#[cfg(test)]
mod directory_setup;
#[cfg(test)]
mod documentation;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod faketime;
#[cfg(test)]
mod fault_world;
#[cfg(test)]
mod first_run;
#[cfg(test)]
mod guards_end_to_end;
#[cfg(test)]
mod helm;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod identity_edges;
#[cfg(test)]
mod identity_upgrade;
#[cfg(test)]
mod init;
#[cfg(test)]
mod instructions;
#[cfg(test)]
mod interrupts;
#[cfg(test)]
mod joiners;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod leavers;
#[cfg(test)]
mod mail;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod model;
#[cfg(test)]
mod mounts;
#[cfg(test)]
mod movers;
#[cfg(test)]
mod notify;
#[cfg(test)]
mod opa_listing;
#[cfg(test)]
mod opa_tokens;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod other_sqlite;
#[cfg(test)]
mod past_reports;
#[cfg(test)]
mod people_filter;
#[cfg(test)]
mod plan_comment;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod program;
#[cfg(test)]
mod protection;
#[cfg(test)]
mod queue_commands;
#[cfg(test)]
mod queue_machine;
#[cfg(test)]
mod quota;
#[cfg(test)]
mod report_schema;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod requirements;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod review;
#[cfg(test)]
mod run_end;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod server_certificates;
#[cfg(test)]
mod shields;
#[cfg(test)]
mod shipped_files;
#[cfg(test)]
mod snapshot_cost;
#[cfg(test)]
mod snapshot_seal;
#[cfg(test)]
mod snapshot_upgrade;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod status;
#[cfg(test)]
mod store_opening;
#[cfg(test)]
mod store_surprises;
#[cfg(test)]
mod strace_kills;
#[cfg(test)]
mod target_faults;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod undo;
#[cfg(test)]
mod unreadable_memberships;
#[cfg(test)]
mod world;
