//! The binary: parses the command line, runs the command, maps its outcome to an exit status.
fn main() {}
