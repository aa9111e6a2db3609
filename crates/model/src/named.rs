//! Things with a name and fields, as templates see them: `{{ tenant }}` and
//! `{{ tenant.schema_name }}`.
//!
//! Made by those who fill templates; [`crate::filling`] writes the name where one stands in a text.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Serde, Value};
use serde_json::Value as Json;

/// A thing with fields whose text is its name: `{{ tenant }}` and `{{ tenant.schema_name }}`.
#[derive(Debug)]
pub struct Named {
    name: String,
    fields: Value,
}

impl Named {
    /// The thing called `name`, as templates see it.
    pub fn value(name: &str, fields: &Json) -> Value {
        Value::from_object(Self { name: name.to_owned(), fields: Value::from(Serde(fields)) })
    }
}

/// Whether `value` is a thing with a name.
pub(crate) fn is_named(value: &Value) -> bool {
    value.downcast_object_ref::<Named>().is_some()
}

impl Object for Named {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.fields.get_item(key).ok().filter(|value| !value.is_undefined())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.fields.try_iter().into_iter().flatten().collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
