//! All fields of an event, under the names and in the order of the JSON lines.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::event::Event;

/// An object in the order in which it was written, unlike `serde_json::Map`.
struct Fields(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(InOrder)
    }
}

/// Names and values; objects in objects are flattened: `on.syscall`.
pub(super) fn fields(event: &Event) -> Vec<(String, String)> {
    let mut out = Vec::new();
    if let Ok(Fields(fields)) = serde_json::from_str(&event.to_json()) {
        for (name, value) in fields {
            flatten(name, value, &mut out);
        }
    }
    out
}

fn flatten(name: String, value: serde_json::Value, out: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(map) => {
            for (inner, value) in map {
                flatten(format!("{name}.{inner}"), value, out);
            }
        }
        serde_json::Value::Array(items) if items.iter().any(serde_json::Value::is_object) => {
            for (place, item) in items.into_iter().enumerate() {
                flatten(format!("{name}[{place}]"), item, out);
            }
        }
        serde_json::Value::Array(items) => {
            let items: Vec<_> = items.iter().map(plain).collect();
            out.push((name, items.join(" ")));
        }
        value => out.push((name, plain(&value))),
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
