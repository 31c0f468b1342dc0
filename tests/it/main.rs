//! Everything that crosses HTTP, disk or a process boundary, one file per behaviour.

mod cli;
