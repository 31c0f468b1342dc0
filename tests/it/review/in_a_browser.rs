//! The page in a real browser (tests/browser/review.mjs): the decision by keyboard, what a second
//! window and other origins are told, and what axe finds.

use std::path::Path;
use std::process::Command;

use crate::requirements::{Requirement, skip};

#[test]
fn a_decision_is_taken_in_a_real_browser() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/run");
    let output = Command::new(script)
        .arg(env!("CARGO_BIN_EXE_rolecall"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => println!("{said}"),
        Some(77) => skip(
            Requirement::Browser,
            String::from_utf8_lossy(&output.stderr).trim(),
        ),
        _ => panic!("{said}{}", String::from_utf8_lossy(&output.stderr)),
    }
}
