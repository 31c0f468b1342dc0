//! The records behind a decision, as the plan, the report and the audit log show them.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// JSON that a reviewer reads and no rule looks at. It is held as text, and once for the plan and its
/// report: as a tree, it is by far the largest part of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub struct DecisionRecords(Arc<str>);

impl DecisionRecords {
    /// The text, in one line.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The values, to look into.
    pub fn to_value(&self) -> Value {
        // The text was made from a value.
        serde_json::from_str(self.as_json()).unwrap_or_default()
    }

    /// Whether there are none.
    pub fn is_null(&self) -> bool {
        self.as_json() == "null"
    }
}

impl Default for DecisionRecords {
    fn default() -> Self {
        Value::Null.into()
    }
}

impl From<Value> for DecisionRecords {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl Serialize for DecisionRecords {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl JsonSchema for DecisionRecords {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        Value::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Value::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let value =
            serde_json::json!({ "opa_records": [{ "name": "ada" }], "groups": ["a", "é\u{0}"] });
        let records = DecisionRecords::from(value.clone());
        let text = serde_json::to_string(&records).unwrap();
        assert_eq!(text, value.to_string());
        let again: DecisionRecords = serde_json::from_str(&text).unwrap();
        assert_eq!(again, records);
        assert_eq!(again.to_value(), value);
        assert_eq!(serde_json::to_value(&records).unwrap(), value);
    }

    #[test]
    fn none_is_null() {
        assert!(DecisionRecords::default().is_null());
        assert!(DecisionRecords::from(Value::Null).is_null());
        assert!(!DecisionRecords::from(serde_json::json!({})).is_null());
    }
}
