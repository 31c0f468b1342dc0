//! Reads the merged values into the section structs through serde, and finds everything that is
//! wrong with a value by itself.
//!
//! The config crate's own deserializer turns `"10"` into 10 and 5 into `"5"`; this one takes each
//! value as it is written. Serde stops at the first value that it refuses, so that value is noted,
//! replaced by its default (an entry of a list or a table is left out) and everything is read again.

use std::collections::BTreeMap;
use std::fmt;

use config::{Value, ValueKind};
use serde::Deserialize as _;
use serde::de::{self, IntoDeserializer as _, Unexpected};

use super::layers::{Layers, origin};
use super::problem::Problem;
use super::sections::Sections;
use super::{keys, show};

/// More problems than anybody reads at once.
const MOST: usize = 100;

/// The sections as far as they can be read, and what is wrong with the rest.
pub(super) fn sections(layers: &Layers) -> (Option<Sections>, Vec<Problem>) {
    let mut tree = Value::from(layers.sections.clone());
    let mut problems = Vec::new();
    let mut left_out: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    while problems.len() < MOST {
        let fault = match Sections::deserialize(Node(&tree)) {
            Ok(sections) => return (Some(sections), problems),
            Err(fault) => fault,
        };
        problems.push(describe(&fault, &tree, &left_out));
        if repair(&mut tree, &fault.path, &mut left_out).is_none() {
            break;
        }
    }
    (None, problems)
}

/// One step from the whole of the settings towards a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

/// What serde refused, and where.
#[derive(Debug)]
struct Fault {
    path: Vec<Step>,
    message: String,
}

impl Fault {
    fn below(mut self, step: Step) -> Self {
        self.path.insert(0, step);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: Vec::new(),
            message: message.to_string(),
        }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("must be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("must be {expected}"))
    }

    fn unknown_variant(variant: &str, names: &'static [&'static str]) -> Self {
        Self::custom(if names.len() <= 3 {
            let names: Vec<String> = names.iter().map(|name| show::quoted(name)).collect();
            format!("must be {}", names.join(" or "))
        } else {
            let variant = variant.to_lowercase();
            let near = names
                .iter()
                .find(|name| strsim::damerau_levenshtein(&name.to_lowercase(), &variant) <= 3)
                .map(|name| format!("; did you mean {name}?"))
                .unwrap_or_default();
            format!("must be one of {}{near}", names.join(", "))
        })
    }

    fn unknown_field(field: &str, names: &'static [&'static str]) -> Self {
        let near = keys::nearest_of(field, names.iter().copied(), 2)
            .map(|name| format!("; did you mean {name}?"))
            .unwrap_or_default();
        Self::custom(format_args!(
            "there is no such key as {} here; there are {}{near}",
            show::quoted(field),
            names.join(", ")
        ))
    }

    fn missing_field(field: &'static str) -> Self {
        let what = super::sections::what_goes_into(field);
        Self::custom(format_args!("has no {field}; it must be {what}"))
    }
}

/// The value that a path leads to, or the last one on the way that exists.
fn at<'a>(tree: &'a Value, path: &[Step]) -> &'a Value {
    let mut value = tree;
    for step in path {
        let next = match (&value.kind, step) {
            (ValueKind::Table(table), Step::Name(name)) => table.get(name),
            (ValueKind::Array(items), Step::Index(index)) => items.get(*index),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => break,
        }
    }
    value
}

fn describe(fault: &Fault, tree: &Value, left_out: &BTreeMap<String, Vec<usize>>) -> Problem {
    let value = at(tree, &fault.path);
    let (key, parts) = key_of(&fault.path);
    let mut full_key = key.clone();
    let mut is_part = false;
    for (depth, part) in parts.iter().enumerate() {
        is_part = true;
        match part {
            Step::Name(name) if depth == 0 => {
                full_key.push('.');
                full_key.push_str(&show::quoted(name));
            }
            Step::Name(name) => {
                full_key.push('.');
                full_key.push_str(name);
            }
            // A text in a list is told by itself; of sections in a list, people count from 1.
            Step::Index(index) => {
                let item = at(tree, fault.path.get(..=2).unwrap_or(&fault.path));
                if matches!(item.kind, ValueKind::Table(_)) {
                    let gone = left_out.get(&key).map(Vec::as_slice).unwrap_or_default();
                    let number = as_written(*index, gone).saturating_add(1);
                    full_key.push('[');
                    full_key.push_str(&number.to_string());
                    full_key.push(']');
                }
            }
        }
    }
    let shown = if is_part {
        Some(show::literal(value))
    } else {
        show::for_message(&key, value)
    };
    Problem {
        value: shown,
        origin: origin(value),
        ..Problem::setting(full_key, fault.message.clone())
    }
}

/// Where an entry stands in the list as it was written, when the entries `gone` (in their order) are
/// left out.
fn as_written(index: usize, gone: &[usize]) -> usize {
    gone.iter().fold(index, |index, earlier| {
        index.saturating_add(usize::from(*earlier <= index))
    })
}

/// The key that a path leads to, and the way below it.
fn key_of(path: &[Step]) -> (String, &[Step]) {
    match path {
        [Step::Name(section), Step::Name(name), rest @ ..] => (format!("{section}.{name}"), rest),
        [Step::Name(section), ..] => (section.clone(), &[]),
        _ => ("settings".to_owned(), &[]),
    }
}

/// Puts the default where `path` leads, or leaves out the entry of a list or a table.
fn repair(
    tree: &mut Value,
    path: &[Step],
    left_out: &mut BTreeMap<String, Vec<usize>>,
) -> Option<()> {
    let [Step::Name(section), Step::Name(name), rest @ ..] = path else {
        return None;
    };
    let known = keys::find(section, name)?;
    let ValueKind::Table(sections) = &mut tree.kind else {
        return None;
    };
    let ValueKind::Table(names) = &mut sections.get_mut(section)?.kind else {
        return None;
    };
    let value = names.get_mut(name)?;
    match (rest.first(), &mut value.kind) {
        (Some(Step::Name(name)), ValueKind::Table(table)) => {
            table.remove(name)?;
        }
        (Some(Step::Index(index)), ValueKind::Array(items)) if *index < items.len() => {
            items.remove(*index);
            let gone = left_out.entry(known.key.clone()).or_default();
            gone.push(as_written(*index, gone));
            gone.sort_unstable();
        }
        _ => *value = known.default.clone(),
    }
    Some(())
}

/// One value, taken as it is written.
#[derive(Clone, Copy)]
struct Node<'a>(&'a Value);

impl Node<'_> {
    fn refuse<T>(message: &str) -> Result<T, Fault> {
        Err(de::Error::custom(message))
    }
}

impl<'de> de::Deserializer<'de> for Node<'_> {
    type Error = Fault;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            ValueKind::Boolean(flag) => visitor.visit_bool(*flag),
            ValueKind::I64(number) => visitor.visit_i64(*number),
            ValueKind::Float(number) => visitor.visit_f64(*number),
            ValueKind::String(text) => visitor.visit_str(text),
            ValueKind::Array(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            ValueKind::Table(table) => {
                let mut entries: Vec<(&String, &Value)> = table.iter().collect();
                entries.sort_by(|(a, _), (b, _)| b.cmp(a));
                visitor.visit_map(Entries {
                    entries,
                    current: None,
                })
            }
            _ => Self::refuse("is no value that a setting can have"),
        }
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            ValueKind::Boolean(flag) => visitor.visit_bool(*flag),
            _ => Self::refuse("must be true or false, without quotes"),
        }
    }

    fn deserialize_string<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            ValueKind::String(text) => visitor.visit_str(text),
            ValueKind::Table(_) => Self::refuse(
                "must be a text and is a table: a name is split at its dots, so write the name in \
                 quotes, e.g. \"old.example.com\" = \"example.com\"",
            ),
            _ => Self::refuse("must be a text in quotes"),
        }
    }

    fn deserialize_str<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.kind {
            ValueKind::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Self::refuse("must be a text in quotes"),
        }
    }

    fn deserialize_seq<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            ValueKind::Array(_) => self.deserialize_any(visitor),
            _ => Self::refuse("must be a list, e.g. [\"a\", \"b\"]"),
        }
    }

    fn deserialize_map<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            ValueKind::Table(_) => self.deserialize_any(visitor),
            _ => Self::refuse("must be a table, e.g. { \"old.example.com\" = \"example.com\" }"),
        }
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.kind {
            ValueKind::Table(_) => self.deserialize_any(visitor),
            _ => Self::refuse(&format!("must be a table with {}", fields.join(", "))),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Value>>);

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some((index, value)) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(Node(value))
            .map(Some)
            .map_err(|fault| fault.below(Step::Index(index)))
    }
}

/// The entries of a table, the first in the order of the names last.
struct Entries<'a> {
    entries: Vec<(&'a String, &'a Value)>,
    current: Option<(&'a String, &'a Value)>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.current = self.entries.pop();
        match self.current {
            Some((name, _)) => seed
                .deserialize(name.as_str().into_deserializer())
                .map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((name, value)) = self.current else {
            return Node::refuse("has no value");
        };
        seed.deserialize(Node(value))
            .map_err(|fault| fault.below(Step::Name(name.clone())))
    }
}
