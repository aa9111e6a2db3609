//! Values on their way to Postgres and back: JSON there, whatever the server's types are here.
//!
//! Parameters go as text, so that the server reads each as the type it inferred for the place, with
//! its own rules and its own errors. Rows come in the binary form, of which the common types are
//! read; a statement can cast any other to text.

use bytes::BytesMut;
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp};
use millstream_model::ExactJson;
use serde_json::{Number, Value};
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::columns::endless;

type Problem = Box<dyn std::error::Error + Sync + Send>;

/// A parameter.
#[derive(Debug)]
pub(super) struct Bound<'a>(pub(super) &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Problem> {
        if self.0.is_null() {
            return Ok(IsNull::Yes);
        }
        out.extend_from_slice(text_for(self.0, kind)?.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// `value` as the text that the server reads as a `kind`.
fn text_for(value: &Value, kind: &Type) -> Result<String, Problem> {
    match (value, kind.kind()) {
        (value, Kind::Domain(inner)) => text_for(value, inner),
        _ if is_json(kind) => Ok(value.to_string()),
        (Value::Array(items), Kind::Array(item)) => array(items, item),
        (Value::String(text), _) => Ok(text.clone()),
        (Value::Bool(_) | Value::Number(_), _) => Ok(value.to_string()),
        (Value::Array(_) | Value::Object(_), _) if is_text(kind) => Ok(value.to_string()),
        (Value::Array(_), _) => Err(format!("a list does not fit the type {kind}").into()),
        (_, _) => Err(format!("an object does not fit the type {kind}").into()),
    }
}

/// The literal of an array, with every item in quotes but null.
fn array(items: &[Value], item: &Type) -> Result<String, Problem> {
    let mut texts = Vec::with_capacity(items.len());
    for value in items {
        texts.push(match value {
            Value::Null => "NULL".to_owned(),
            value => {
                let text = text_for(value, item)?;
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
        });
    }
    Ok(format!("{{{}}}", texts.join(",")))
}

fn is_json(kind: &Type) -> bool {
    *kind == Type::JSON || *kind == Type::JSONB
}

fn is_text(kind: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN].contains(kind)
        || kind.name() == "citext"
}

/// A value of a row.
pub(crate) struct Cell(pub(crate) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Problem> {
        json(kind, raw).map(Self)
    }

    fn from_sql_null(_: &Type) -> Result<Self, Problem> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn json(kind: &Type, raw: &[u8]) -> Result<Value, Problem> {
    match kind.kind() {
        Kind::Domain(inner) => return json(inner, raw),
        Kind::Enum(_) => return text(raw),
        Kind::Array(_) => {
            let items = Vec::<Cell>::from_sql(kind, raw)?;
            return Ok(Value::Array(items.into_iter().map(|Cell(value)| value).collect()));
        }
        _ => {}
    }
    match *kind {
        Type::BOOL => Ok(bool::from_sql(kind, raw)?.into()),
        Type::INT2 => Ok(i16::from_sql(kind, raw)?.into()),
        Type::INT4 => Ok(i32::from_sql(kind, raw)?.into()),
        Type::INT8 => Ok(i64::from_sql(kind, raw)?.into()),
        Type::OID => Ok(u32::from_sql(kind, raw)?.into()),
        // Through its own text, so that 0.1 stays 0.1 and does not become 0.10000000149….
        Type::FLOAT4 => Ok(real(f32::from_sql(kind, raw)?.to_string().parse()?)),
        Type::FLOAT8 => Ok(real(f64::from_sql(kind, raw)?)),
        Type::NUMERIC => numeric(raw),
        Type::JSON => Ok(ExactJson::read(raw)?.value),
        Type::JSONB => Ok(ExactJson::read(raw.get(1..).unwrap_or_default())?.value),
        Type::DATE => date(i32::from_be_bytes(raw.try_into()?)),
        Type::TIME => time(i64::from_be_bytes(raw.try_into()?)),
        Type::TIMESTAMP => timestamp(i64::from_be_bytes(raw.try_into()?), Zone::None),
        Type::TIMESTAMPTZ => timestamp(i64::from_be_bytes(raw.try_into()?), Zone::Utc),
        Type::UUID => uuid(raw),
        _ if is_text(kind) => text(raw),
        _ => Err(format!("a value of type {kind}").into()),
    }
}

fn text(raw: &[u8]) -> Result<Value, Problem> {
    Ok(std::str::from_utf8(raw)?.into())
}

/// A number as JSON; NaN and the infinities as the text that Postgres takes for them.
fn real(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| endless(value).into(), Value::Number)
}

/// A number as JSON where it keeps its digits there, else as text.
fn numeric(raw: &[u8]) -> Result<Value, Problem> {
    let Some(text) = numeric_text(raw) else {
        return Ok(match raw.get(4..6) {
            Some([0xD0, 0]) => "Infinity".into(),
            Some([0xF0, 0]) => "-Infinity".into(),
            _ => "NaN".into(),
        });
    };
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(whole.into());
    }
    let value: f64 = text.parse()?;
    let digits = text.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit);
    if digits.count() <= EXACT_DIGITS { Ok(real(value)) } else { Ok(text.into()) }
}

/// Digits that every double keeps.
const EXACT_DIGITS: usize = 15;

/// The decimal text of a numeric: groups of four digits around a point; `None` when it is none.
fn numeric_text(raw: &[u8]) -> Option<String> {
    let mut fields = raw.chunks_exact(2).map(|pair| match pair {
        [high, low] => i16::from_be_bytes([*high, *low]),
        _ => 0,
    });
    let (count, weight) = (fields.next()?, fields.next()?);
    let (sign, scale) = (fields.next()?, fields.next()?);
    let sign = match sign {
        0 => "",
        0x4000 => "-",
        _ => return None,
    };
    let groups: Vec<i16> = fields.take(usize::try_from(count).ok()?).collect();
    // The group of `power` counts 10000^power; groups that are not sent are zero.
    let group = |power: i16| {
        let index = usize::try_from(i32::from(weight) - i32::from(power)).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let digits = |powers: &mut dyn Iterator<Item = i16>| {
        powers.map(|power| format!("{:04}", group(power))).collect::<Vec<_>>().concat()
    };
    let whole = digits(&mut (0..=weight.max(0)).rev());
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let mut fraction = digits(&mut (1..=(scale + 3) / 4).map(|power| -power));
    let scale = usize::try_from(scale).ok()?;
    fraction.truncate(scale);
    let point = if scale == 0 { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// Where Postgres counts days and microseconds from.
const EPOCH: Date = jiff::civil::date(2000, 1, 1);

fn date(days: i32) -> Result<Value, Problem> {
    match days {
        i32::MAX => Ok("infinity".into()),
        i32::MIN => Ok("-infinity".into()),
        days => {
            let since = SignedDuration::from_hours(24 * i64::from(days));
            Ok(EPOCH.checked_add(since)?.to_string().into())
        }
    }
}

fn time(micros: i64) -> Result<Value, Problem> {
    // 24:00:00 is a time of day for Postgres alone.
    let since = SignedDuration::from_micros(micros);
    Ok(Time::midnight().checked_add(since)?.to_string().into())
}

#[derive(Clone, Copy)]
enum Zone {
    None,
    Utc,
}

fn timestamp(micros: i64, zone: Zone) -> Result<Value, Problem> {
    let since = SignedDuration::from_micros(micros);
    let civil: DateTime = match micros {
        i64::MAX => return Ok("infinity".into()),
        i64::MIN => return Ok("-infinity".into()),
        _ => EPOCH.to_datetime(Time::midnight()).checked_add(since)?,
    };
    match zone {
        Zone::None => Ok(civil.to_string().into()),
        Zone::Utc => {
            let instant: Timestamp = jiff::tz::TimeZone::UTC.to_timestamp(civil)?;
            Ok(instant.to_string().into())
        }
    }
}

fn uuid(raw: &[u8]) -> Result<Value, Problem> {
    let digits = raw.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let bounds = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts: Option<Vec<&str>> = bounds.into_iter().map(|range| digits.get(range)).collect();
    Ok(parts.ok_or("a broken uuid")?.join("-").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_for_an_array_is_quoted_item_by_item() {
        let items = serde_json::json!(["a", "b \"c\" \\", null, "NULL", "{}"]);
        let text = text_for(&items, &Type::TEXT_ARRAY).unwrap();
        assert_eq!(text, r#"{"a","b \"c\" \\",NULL,"NULL","{}"}"#);
    }

    #[test]
    fn an_object_fits_json_and_text_alone() {
        let object = serde_json::json!({"a": 1});
        assert_eq!(text_for(&object, &Type::JSONB).unwrap(), "{\"a\":1}");
        assert_eq!(text_for(&object, &Type::TEXT).unwrap(), "{\"a\":1}");
        let problem = text_for(&object, &Type::DATE).unwrap_err();
        assert_eq!(problem.to_string(), "an object does not fit the type date");
    }
}
