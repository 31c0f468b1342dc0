//! OCSF 1.6.0, one event a line: <https://schema.ocsf.io/1.6.0>.
//!
//! | entry | class |
//! |---|---|
//! | an account is created or deactivated | Account Change (3001): Create, Disable |
//! | a site role is set | User Access Management (3005): Assign Privileges |
//! | a run begins or ends | Application Lifecycle (6002): Start, Stop |
//! | pulls, plans and decisions, which no class describes | Base Event (0): Other, named |

use serde_json::{Map, Value, json};

use super::siem::{AccountChange, Ending, Severity, milliseconds, sentence, site_role};
use super::{Event, HashedEntry, NotCanonical};

/// The version of the schema.
const VERSION: &str = "1.6.0";

/// A class with one of its activities.
struct Class {
    category: u32,
    uid: u32,
    activity: u32,
    of: &'static str,
    name: &'static str,
    does: String,
}

/// The entry as a line of JSON, without its end.
///
/// # Errors
/// A value of the entry is not stored as it was hashed.
pub(super) fn line(entry: &HashedEntry) -> Result<String, NotCanonical> {
    let original = entry.to_json()?;
    let class = class(entry);
    let (severity_id, severity) = match Severity::of(entry) {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    };
    let (status_id, status) = match Ending::of(entry) {
        Some(Ending::Success) => (1, "Success"),
        Some(Ending::Failure) => (2, "Failure"),
        Some(open) => (99, open.words()),
        None => (0, "Unknown"),
    };
    let mut event = json!({
        "activity_id": class.activity,
        "activity_name": class.does,
        "category_uid": class.category,
        "category_name": class.of,
        "class_uid": class.uid,
        "class_name": class.name,
        "type_uid": class.uid * 100 + class.activity,
        "type_name": format!("{}: {}", class.name, class.does),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "time": milliseconds(entry).unwrap_or_default(),
        "message": sentence(entry),
        "metadata": metadata(entry),
        "actor": { "app_name": "rolecall", "user": { "name": entry.user } },
        "device": { "hostname": entry.host, "type_id": 0, "type": "Unknown" },
        "unmapped": unmapped(original),
    });
    if let Some(members) = event.as_object_mut() {
        let mut add = |name: &str, value: Option<Value>| {
            members.extend(value.map(|value| (name.to_owned(), value)));
        };
        add(
            "status_code",
            entry.http_status.map(|status| json!(status.to_string())),
        );
        add(
            "status_detail",
            entry
                .words
                .as_deref()
                .or(entry.reason.as_deref())
                .map(Value::from),
        );
        match class.uid {
            3001 => add("user", Some(user(entry))),
            3005 => {
                add("user", Some(user(entry)));
                add(
                    "privileges",
                    Some(json!([site_role(entry).unwrap_or_default()])),
                );
            }
            6002 => add("app", Some(product(entry))),
            _ => {}
        }
    }
    Ok(event.to_string())
}

fn class(entry: &HashedEntry) -> Class {
    let iam = |uid, name, activity, does: &str| Class {
        category: 3,
        uid,
        activity,
        of: "Identity & Access Management",
        name,
        does: does.to_owned(),
    };
    let lifecycle = |activity, does: &str| Class {
        category: 6,
        uid: 6002,
        activity,
        of: "Application Activity",
        name: "Application Lifecycle",
        does: does.to_owned(),
    };
    match (AccountChange::of(entry), entry.event.parse()) {
        (Some(AccountChange::Create), _) => iam(3001, "Account Change", 1, "Create"),
        (Some(AccountChange::Deactivate), _) => iam(3001, "Account Change", 5, "Disable"),
        (Some(AccountChange::SetRole), _) => {
            iam(3005, "User Access Management", 1, "Assign Privileges")
        }
        (None, Ok(Event::RunStarted)) => lifecycle(3, "Start"),
        (None, Ok(Event::RunFinished)) => lifecycle(4, "Stop"),
        (None, _) => Class {
            category: 0,
            uid: 0,
            activity: 99,
            of: "Uncategorized",
            name: "Base Event",
            does: entry.event.clone(),
        },
    }
}

fn metadata(entry: &HashedEntry) -> Value {
    let mut metadata = json!({
        "version": VERSION,
        "product": product(entry),
        "profiles": ["host"],
        "log_name": "audit",
        "log_provider": "rolecall",
        "event_code": entry.event,
        "uid": entry.hash,
        "sequence": entry.seq,
        "original_time": entry.at,
    });
    if let (Some(members), Some(run)) = (metadata.as_object_mut(), &entry.run_id) {
        members.insert("correlation_uid".to_owned(), json!(run));
    }
    metadata
}

fn product(entry: &HashedEntry) -> Value {
    json!({ "name": "rolecall", "vendor_name": "rolecall", "version": entry.version })
}

/// The account. A user has a name or a uid, so one without either is named `unknown`.
fn user(entry: &HashedEntry) -> Value {
    let mut user = Map::new();
    if let Some(id) = &entry.opsera_id {
        user.insert("uid".to_owned(), json!(id));
    }
    let name = entry.email.as_ref().or(entry.opsera_id.as_ref());
    user.insert(
        "name".to_owned(),
        json!(name.map_or("unknown", |name| name)),
    );
    if let Some(email) = entry.email.as_deref().filter(|email| is_email(email)) {
        user.insert("email_addr".to_owned(), json!(email));
    }
    Value::Object(user)
}

/// Whether `email_t` of the schema takes this text: what a directory sends need not be an address.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let is_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_domain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    !local.is_empty()
        && local.chars().all(is_local)
        && domain.chars().all(is_domain)
        && domain
            .split_once('.')
            .is_some_and(|(host, rest)| !host.is_empty() && !rest.is_empty())
}

/// What the schema has no place for, by its name in the log: enough to find the entry and prove it.
fn unmapped(original: Value) -> Value {
    let Value::Object(members) = original else {
        return Value::Null;
    };
    let kept = [
        "before",
        "after",
        "reason",
        "evidence",
        "algorithm",
        "format",
        "prev_hash",
        "hash",
    ];
    members
        .into_iter()
        .filter(|(name, value)| kept.contains(&name.as_str()) && !value.is_null())
        .collect()
}
