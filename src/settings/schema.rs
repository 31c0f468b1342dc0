//! The JSON Schema of a settings file, for editors: made from the section structs and their
//! comments, with the documented defaults.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::keys;
use super::sections::Sections;
use super::show;

/// The JSON Schema (draft 7) of a settings file.
pub fn json_schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Sections>();
    let mut schema = Value::from(schema);
    // Whatever a file leaves out has its default.
    let every_key_is_optional = |table: &mut Value| {
        if let Some(table) = table.as_object_mut() {
            table.remove("required");
        }
    };
    every_key_is_optional(&mut schema);
    for key in keys::all() {
        let Some(section) = schema.pointer_mut(&format!("/properties/{}", key.section)) else {
            continue;
        };
        every_key_is_optional(section);
        if let Some(property) = section.pointer_mut(&format!("/properties/{}", key.name))
            && let Some(property) = property.as_object_mut()
        {
            property.insert("default".to_owned(), show::json(&key.default));
        }
    }
    schema
}
