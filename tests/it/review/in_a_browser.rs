//! The page in a real browser (tests/browser/review.mjs): the decision by keyboard, what a second
//! window and other origins are told, and what axe finds.

use std::path::Path;
use std::process::Command;

use crate::requirements::{Requirement, run_script};

#[test]
fn a_decision_is_taken_in_a_real_browser() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/run");
    run_script(
        Requirement::Browser,
        Command::new(script).arg(env!("CARGO_BIN_EXE_rolecall")),
    );
}
