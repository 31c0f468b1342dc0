//! Everything that crosses HTTP, disk or a process boundary, one file per behaviour.
// Under cfg(test) the lints know that what is shared between tests is test code too.
#[cfg(test)]
mod sandbox;
