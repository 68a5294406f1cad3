//! A JSON value as a carrier sent it, its texts borrowed from the body wherever they have no escapes.
//!
//! Objects are sorted by key, and of a key that comes twice the last one counts. What the fields mean is in `generic`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::Number;

/// Any value.
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// Keys with their values.
#[derive(Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Object<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }
}

impl<'a> Value<'a> {
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Number(number) => number.as_u64(),
            _ => None,
        }
    }
}

/// As compact JSON.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => to.serialize_unit(),
            Value::Bool(flag) => to.serialize_bool(*flag),
            Value::Number(number) => number.serialize(to),
            Value::Text(text) => to.serialize_str(text),
            Value::List(items) => to.collect_seq(items),
            Value::Object(object) => to.collect_map(object.iter()),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(Key(key)) = from.next_key()? {
            fields.push((key, from.next_value()?));
        }
        // The last of a key stands first among its equals, and is kept.
        fields.reverse();
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        fields.dedup_by(|next, first| next.0 == first.0);
        Ok(Value::Object(Object(fields)))
    }
}

/// A key, which `Cow` by itself would always copy.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AnyKey;

        impl<'de> Visitor<'de> for AnyKey {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        from.deserialize_str(AnyKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_and_shows_what_a_map_of_strings_would() {
        for text in [
            r#"{"b":1,"a":[true,null,{"z":-2.50,"y":"\u00e9\n"}],"c\n":18446744073709551615,"d":1e3,"e":-1}"#,
            r#"{"a":1,"b":2,"a":{"x":3},"b":4,"a":5}"#,
            r#"{"B":1,"a":2,"":3,"é":4,"aa":5}"#,
            "[]",
            "\"x\"",
            " 7 ",
        ] {
            let ours: Value<'_> = serde_json::from_str(text).expect("JSON");
            let theirs: serde_json::Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(ours.to_string(), theirs.to_string(), "{text}");
        }
        for bad in ["", "{", "{\"a\":1,}", "nul", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}", "[1] 2", "{1:2}"] {
            let place = |error: serde_json::Error| (error.line(), error.column());
            let ours = serde_json::from_slice::<Value<'_>>(bad.as_bytes()).map(drop).map_err(place);
            let theirs = serde_json::from_slice::<serde_json::Value>(bad.as_bytes()).map(drop).map_err(place);
            assert_eq!(ours, theirs, "{bad}");
        }
    }

    #[test]
    fn deep_and_wide_bodies_are_bounded_work() {
        assert!(serde_json::from_str::<Value<'_>>(&"[".repeat(60_000)).is_err());
        let keys: Vec<String> = (0..5_000).rev().map(|n| format!("\"k{}\":{n}", n % 2_500)).collect();
        let text = format!("{{{}}}", keys.join(","));
        let Ok(Value::Object(object)) = serde_json::from_str(&text) else { panic!("an object") };
        assert_eq!(object.iter().count(), 2_500);
        assert!(object.iter().is_sorted_by_key(|(key, _)| key.to_owned()));
        assert_eq!(object.get("k7").and_then(Value::as_u64), Some(7));
    }
}
