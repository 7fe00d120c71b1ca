//! The two forms in which requests and answers cross the wire, and the way from CBOR to JSON and back.
//!
//! Inside there is only JSON: a CBOR request becomes the JSON that says the same (a byte string becomes base64, a moment
//! becomes seconds), an answer becomes CBOR when it is written. As AWS's Java SDK has it, a moment under tag 1 is an integer
//! of milliseconds; a float there is seconds, as the CBOR standard has it. Depth and number of items are bounded, so that a
//! small body cannot ask for much stack or memory. Which members of an answer are blobs and moments is known by their names.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ciborium::value::{Integer, Value as Cbor};
use http::HeaderValue;
use lakebed_contract::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::describe::{from_seconds, seconds};
use super::error::KinesisError;

const CBOR_TYPE: &str = "application/x-amz-cbor-1.1";
const JSON_TYPE: &str = "application/x-amz-json-1.1";

/// Lists, maps and tags within each other; no request of the service has more than six.
const DEPTH_MAX: usize = 32;
/// Items of a request; the largest PutRecords has fewer than four thousand.
const ITEMS_MAX: usize = 100_000;
/// CBOR's tag of a moment.
const MOMENT_TAG: u64 = 1;
/// The only member of an answer that holds bytes.
const BLOB_MEMBER: &str = "Data";
/// Members of answers whose names end so are moments.
const MOMENT_SUFFIX: &str = "Timestamp";

/// How a request is written, and so its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// `application/x-amz-json-1.1`.
    #[default]
    Json,
    /// `application/x-amz-cbor-1.1`.
    Cbor,
}

/// The JSON that a request of form `wire` means. What is not CBOR, is nested too deeply or has too many items is a
/// SerializationException; JSON is given as it came.
pub fn decode_request(wire: Wire, body: &[u8]) -> Result<Cow<'_, [u8]>, KinesisError> {
    if wire == Wire::Json {
        return Ok(Cow::Borrowed(body));
    }
    let mut rest = body;
    let decoded: Result<Document, _> = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH_MAX);
    // The decoder's message may quote the input.
    let document =
        decoded.map_err(|_| KinesisError::serialization("The request body is not a CBOR item of this service"))?;
    if !rest.is_empty() {
        return Err(KinesisError::serialization("There are bytes behind the CBOR item of the request"));
    }
    Ok(Cow::Owned(document.0.to_string().into_bytes()))
}

impl Wire {
    /// The form a content type names; JSON if it names none that is known.
    pub fn of(content_type: Option<&HeaderValue>) -> Self {
        let named = content_type.and_then(|kind| kind.to_str().ok()).and_then(|kind| kind.split(';').next());
        if named.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(CBOR_TYPE)) { Self::Cbor } else { Self::Json }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON_TYPE,
            Self::Cbor => CBOR_TYPE,
        }
    }

    /// An answer, or a part of one, as it is sent.
    pub(super) fn encode<T: Serialize>(self, answer: &T) -> Result<Vec<u8>, KinesisError> {
        let failed = |error: serde_json::Error| KinesisError::internal("write an answer", &error);
        match self {
            Self::Json => serde_json::to_vec(answer).map_err(failed),
            Self::Cbor => serde_json::to_value(answer).map(|answer| self.write(&answer)).map_err(failed),
        }
    }

    /// As [`Wire::encode`], of what is JSON already.
    pub(super) fn write(self, answer: &Value) -> Vec<u8> {
        if self == Self::Json {
            return answer.to_string().into_bytes();
        }
        let mut bytes = Vec::new();
        ciborium::into_writer(&to_cbor("", answer), &mut bytes).expect("memory takes every byte");
        bytes
    }
}

/// `name` is the member that `value` is of.
fn to_cbor(name: &str, value: &Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(is) => Cbor::Bool(*is),
        Value::Number(number) => number_to_cbor(name, number),
        Value::String(text) if name == BLOB_MEMBER => {
            BASE64_STANDARD.decode(text).map_or_else(|_| Cbor::Text(text.clone()), Cbor::Bytes)
        }
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Array(items) => Cbor::Array(items.iter().map(|item| to_cbor("", item)).collect()),
        Value::Object(members) => {
            Cbor::Map(members.iter().map(|(name, value)| (Cbor::Text(name.clone()), to_cbor(name, value))).collect())
        }
    }
}

fn number_to_cbor(name: &str, number: &Number) -> Cbor {
    let float = || number.as_f64().unwrap_or_default();
    if name.ends_with(MOMENT_SUFFIX) {
        let millis = from_seconds(float()).millis();
        return Cbor::Tag(MOMENT_TAG, Box::new(Cbor::Integer(Integer::from(millis))));
    }
    match (number.as_i64(), number.as_u64()) {
        (Some(whole), _) => Cbor::Integer(Integer::from(whole)),
        (None, Some(whole)) => Cbor::Integer(Integer::from(whole)),
        (None, None) => Cbor::Float(float()),
    }
}

/// A CBOR item read as JSON.
struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(ITEMS_MAX);
        Item { left: &left }.deserialize(deserializer).map(Self)
    }
}

/// Reads one item, and counts it.
#[derive(Clone, Copy)]
struct Item<'a> {
    /// How many more items there may be.
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many items"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CBOR item")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(BASE64_STANDARD.encode(value).into())
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            members.insert(name, access.next_value_seed(self)?);
        }
        Ok(Value::Object(members))
    }

    /// The decoder shows a tagged item as a variant of two fields.
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        let (_, fields) = access.variant::<String>()?;
        fields.tuple_variant(2, Tagged(self))
    }
}

/// Reads a tag and the item under it.
struct Tagged<'a>(Item<'a>);

impl<'de> Visitor<'de> for Tagged<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag and an item")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let missing = || A::Error::custom("a tag without an item");
        let tag: u64 = access.next_element()?.ok_or_else(missing)?;
        let item = access.next_element_seed(self.0)?.ok_or_else(missing)?;
        if tag != MOMENT_TAG {
            return Ok(item);
        }
        match item.as_i64() {
            Some(millis) => Ok(seconds(Timestamp(millis.saturating_mul(1_000))).into()),
            None if item.is_f64() => Ok(item),
            None => Err(A::Error::custom("not a moment")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn decoded(body: &[u8]) -> Option<Value> {
        let json = decode_request(Wire::Cbor, body).ok()?;
        Some(serde_json::from_slice(&json).expect("what is decoded is JSON"))
    }

    fn encoded(item: &Cbor) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(item, &mut bytes).expect("memory");
        bytes
    }

    #[test]
    fn a_request_of_definite_or_indefinite_length_becomes_the_json_that_says_the_same() {
        let moment = Cbor::Tag(MOMENT_TAG, Box::new(Cbor::Integer(Integer::from(1_700_000_000_250_i64))));
        let item = Cbor::Map(vec![
            (Cbor::Text("Data".to_owned()), Cbor::Bytes(vec![0, 255])),
            (Cbor::Text("Timestamp".to_owned()), moment),
            (Cbor::Text("Limit".to_owned()), Cbor::Integer(Integer::from(7))),
            (Cbor::Text("Keys".to_owned()), Cbor::Array(vec![Cbor::Null, Cbor::Bool(true)])),
        ]);
        let expected = json!({ "Data": "AP8=", "Timestamp": 1_700_000_000.25, "Limit": 7, "Keys": [null, true] });
        assert_eq!(decoded(&encoded(&item)), Some(expected));
        // An endless map of an endless text of two pieces, and an endless byte string.
        assert_eq!(decoded(b"\xbf\x7f\x61K\x61e\xff\x5f\x41\x00\x41\xff\xff\xff"), Some(json!({ "Ke": "AP8=" })));
        assert_eq!(decoded(b"\xbf\xff"), Some(json!({})));
        assert_eq!(decode_request(Wire::Json, b"{").expect("as it came").as_ref(), b"{");
    }

    #[test]
    fn what_is_too_deep_too_much_or_no_request_is_refused() {
        for body in [
            &b""[..],
            b"\x61",
            b"{}",
            b"\xa1\x01\x01",
            b"\xc1\x61x",
            b"\xa0\xa0",
            b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(decoded(body), None, "{body:?}");
        }
        for deep in [vec![0x81; 100_000], vec![0xc1; 100_000], vec![0x9f; 100_000], b"\xa1\x61x".repeat(100_000)] {
            assert_eq!(decoded(&deep), None);
        }
        let mut long = vec![0x9f];
        long.extend(std::iter::repeat_n(0, ITEMS_MAX));
        long.push(0xff);
        assert_eq!(decoded(&long), None, "one item more than there may be");
        let told = decode_request(Wire::Cbor, b"\x61").expect_err("cut off");
        assert_eq!(told.code(), "SerializationException");
    }

    #[test]
    fn an_answer_has_bytes_and_moments_where_the_service_has_them() {
        let answer = json!({
            "Records": [{ "Data": "AP8=", "ApproximateArrivalTimestamp": 1_700_000_000.25, "PartitionKey": "Data" }],
            "MillisBehindLatest": u64::MAX,
        });
        let read: Cbor = ciborium::from_reader(Wire::Cbor.write(&answer).as_slice()).expect("CBOR");
        let member = |of: &Cbor, name: &str| {
            let members = of.as_map().expect("a map");
            members.iter().find(|(key, _)| key.as_text() == Some(name)).expect("there").1.clone()
        };
        let record = member(&read, "Records").as_array().expect("a list")[0].clone();
        assert_eq!(member(&record, "Data"), Cbor::Bytes(vec![0, 255]));
        assert_eq!(member(&record, "PartitionKey"), Cbor::Text("Data".to_owned()));
        let moment = Cbor::Integer(Integer::from(1_700_000_000_250_i64));
        assert_eq!(member(&record, "ApproximateArrivalTimestamp"), Cbor::Tag(MOMENT_TAG, Box::new(moment)));
        assert_eq!(member(&read, "MillisBehindLatest"), Cbor::Integer(Integer::from(u64::MAX)));
    }

    #[test]
    fn the_form_is_what_the_content_type_names() {
        let of = |kind: &'static str| Wire::of(Some(&HeaderValue::from_static(kind)));
        assert_eq!(of("application/x-amz-cbor-1.1"), Wire::Cbor);
        assert_eq!(of("Application/X-Amz-Cbor-1.1; charset=x"), Wire::Cbor);
        assert_eq!((of("application/x-amz-json-1.1"), Wire::of(None)), (Wire::Json, Wire::Json));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decoded(&body);
        }
    }
}
