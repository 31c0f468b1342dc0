//! The JSON Schema of a report: the file is current, every JSON report that the tests read keeps to
//! it, and a document that is no report does not.

use std::path::Path;
use std::sync::LazyLock;

use rolecall::domain::Report;
use rolecall::output::report_schema;
use serde_json::{Value, json};

const FILE: &str = "docs/report.schema.json";

static SCHEMA: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::validator_for(&report_schema()).unwrap());

/// A JSON report as a command printed it, which must keep to the schema.
#[track_caller]
pub(crate) fn parsed(text: &str) -> Value {
    let report = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_valid(&report);
    report
}

/// The report of a run in this process, as it would be printed.
#[track_caller]
pub(crate) fn assert_keeps_to_schema(report: &Report) {
    assert_valid(&serde_json::to_value(report).unwrap());
}

#[track_caller]
fn assert_valid(report: &Value) {
    if let Err(error) = SCHEMA.validate(report) {
        panic!("{error} at {}: {report:#}", error.instance_path());
    }
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_report() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let schema = format!("{:#}\n", report_schema());
    if std::env::var_os("ROLECALL_WRITE_SCHEMA").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == schema,
        "{FILE} is not what the report is now: ROLECALL_WRITE_SCHEMA=1 cargo test --test it report_schema"
    );
}

#[test]
fn the_schema_names_what_every_report_has_and_the_values_that_it_may_have() {
    let schema = report_schema();
    jsonschema::meta::validate(&schema).unwrap();
    assert_eq!(schema["properties"]["schema"]["const"], "rolecall.report/1");
    let required = schema["required"].as_array().unwrap();
    for field in ["run_id", "actions", "findings", "guards", "team", "error"] {
        assert!(required.contains(&json!(field)), "{field}");
    }
    // What is left out of a report that has nothing to say there.
    for field in ["rejection", "failed_on", "store"] {
        assert!(!required.contains(&json!(field)), "{field}");
        assert!(!schema["properties"][field].is_null(), "{field}");
    }
}

#[test]
fn what_is_no_report_does_not_keep_to_the_schema() {
    let good = serde_json::to_value(crate::reports::examples::dry_run()).unwrap();
    assert!(SCHEMA.is_valid(&good));
    for (pointer, wrong) in [
        ("/schema", json!("rolecall.report/2")),
        ("/outcome", json!("fine")),
        ("/started_at", json!(17)),
        ("/summary/deactivate", json!(-1)),
        ("/actions/0/kind", json!("promote")),
        ("/actions/0/status", Value::Null),
        ("/actions/0/email", Value::Null),
        ("/waiting/0/reason", json!("gone")),
        ("/findings/0/kind", json!("odd")),
        ("/guards/0/limit", json!("25")),
    ] {
        let mut report = good.clone();
        *report.pointer_mut(pointer).unwrap() = wrong;
        assert!(!SCHEMA.is_valid(&report), "{pointer}");
    }
    let mut report = good;
    report.as_object_mut().unwrap().remove("actions");
    assert!(!SCHEMA.is_valid(&report));
}
