//! Values on their way to and from the server.

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::{Row, Sql, StoreError, Value};

/// Refuses `params` that do not fit the parameters that the statement takes: a defect of it. It is
/// found before anything is sent, so that no transaction goes out with a hole.
pub(super) fn check(
    sql: &'static Sql,
    params: &[Value],
    wanted: &[Type],
) -> Result<(), StoreError> {
    let refused = |message| Err(StoreError::Refused { statement: sql.name, message });
    if params.len() != wanted.len() {
        return refused(format!("it takes {} values and got {}", wanted.len(), params.len()));
    }
    match params.iter().zip(wanted).find(|(value, kind)| !fits(value, kind)) {
        Some((value, kind)) => refused(format!("{value:?} was given where {kind} is taken")),
        None => Ok(()),
    }
}

fn fits(value: &Value, kind: &Type) -> bool {
    match value {
        Value::Null => is_ours(kind),
        Value::Text(_) => *kind == Type::TEXT,
        Value::Int(_) => *kind == Type::INT8,
        Value::Bool(_) => *kind == Type::BOOL,
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        wanted: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Text(text) => text.to_sql(wanted, out),
            Self::Int(number) => number.to_sql(wanted, out),
            Self::Bool(truth) => truth.to_sql(wanted, out),
        }
    }

    fn accepts(wanted: &Type) -> bool {
        is_ours(wanted)
    }

    to_sql_checked!();
}

/// Whether a column or parameter is of one of the types that both databases share.
pub(super) fn is_ours(kind: &Type) -> bool {
    matches!(*kind, Type::TEXT | Type::INT8 | Type::BOOL)
}

/// The columns of `row` from `first` on.
pub(super) fn row(
    sql: &'static Sql,
    row: &tokio_postgres::Row,
    first: usize,
) -> Result<Row, StoreError> {
    let mut values = Vec::with_capacity(row.len());
    for (index, column) in row.columns().iter().enumerate().skip(first) {
        let value = match *column.type_() {
            Type::TEXT => row.try_get::<_, Option<String>>(index).map(Value::from),
            Type::INT8 => row.try_get::<_, Option<i64>>(index).map(Value::from),
            Type::BOOL => row.try_get::<_, Option<bool>>(index).map(Value::from),
            // Preparing every statement finds this one before a user does.
            ref other => {
                let message = format!("column {} is of type {other}", index + 1);
                return Err(StoreError::Refused { statement: sql.name, message });
            }
        };
        values.push(value.map_err(|error| super::failure::of(sql.name, &error).error)?);
    }
    Ok(Row::new(sql.name, values))
}
