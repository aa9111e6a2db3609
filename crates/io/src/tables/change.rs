//! What a table needs before rows go into it. Pure: the databases carry it out.

use millstream_model::{ColumnType, LoadMode};

use crate::columns::Column;
use crate::tables::{TableIoError, TableWrite};

/// The column that says which partition a row is of.
pub(super) const PARTITION: &str = "_partition";

/// The column of a table that is there; `kind` is `None` for a type that this program never gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) name: String,
    pub(super) kind: Option<ColumnType>,
}

/// What is done to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// There is none: it is made.
    Create,
    /// Another takes its name, with other columns.
    Swap,
    /// It stays, and so does what others have given it: indexes, views, grants.
    Keep {
        /// Columns that it gets.
        add: Vec<Column>,
        /// Columns of whole numbers that become real.
        widen: Vec<String>,
    },
}

impl Change {
    /// What the table has of the columns `present` once this is done; the rest are new.
    pub(super) fn left(&self, present: Option<Vec<Present>>) -> Vec<Present> {
        let Self::Keep { widen, .. } = self else { return Vec::new() };
        let mut left = present.unwrap_or_default();
        for column in left.iter_mut().filter(|column| widen.contains(&column.name)) {
            column.kind = Some(ColumnType::Real);
        }
        left
    }
}

/// What `write` needs of a table with the columns `present`, for rows with `wanted`.
///
/// `was_whole` says that the table held an asset in one, which has become partitioned since.
pub(super) fn change(
    write: &TableWrite,
    present: Option<&[Present]>,
    wanted: &[Column],
    was_whole: bool,
) -> Result<Change, TableIoError> {
    let Some(present) = present else { return Ok(Change::Create) };
    let partition = write.keeper.as_ref().and_then(|keeper| keeper.partition.as_ref());
    let replaces_all = write.mode == LoadMode::Replace && (partition.is_none() || was_whole);
    if partition.is_some() && was_whole {
        return Ok(Change::Swap);
    }
    let find = |name: &str| present.iter().find(|it| it.name == name);
    let mut add = Vec::new();
    let mut widen = Vec::new();
    for column in wanted {
        let Some(found) = find(&column.name) else {
            add.push(column.clone());
            continue;
        };
        let (Some(has), Some(gets)) = (found.kind, column.kind) else { continue };
        match (has, gets) {
            (has, gets) if has == gets => {}
            (ColumnType::Real, ColumnType::Integer) => {}
            _ if replaces_all => return Ok(Change::Swap),
            (ColumnType::Integer, ColumnType::Real) => widen.push(column.name.clone()),
            (has, gets) => {
                let table = write.table.to_string();
                return Err(TableIoError::changed(table, &column.name, has, gets));
            }
        }
    }
    // A table that a `load` step shares with its users may have columns that the rows do not fill.
    let has_more = write.keeper.is_some() && present.len() > wanted.len();
    if replaces_all && (!add.is_empty() || has_more) {
        return Ok(Change::Swap);
    }
    Ok(Change::Keep { add, widen })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use millstream_model::ResourceDef;

    use super::*;
    use crate::TableFile;
    use crate::tables::{Keeper, TableName};

    fn write(mode: LoadMode, partition: Option<&str>) -> TableWrite {
        let keeper = Keeper {
            tenant: "jfk".parse().unwrap(),
            asset: "orders".parse().unwrap(),
            partition: partition.map(|key| key.parse().unwrap()),
        };
        TableWrite {
            resource: ResourceDef::Sqlite { path: "w.db".to_owned() },
            table: TableName { schema: None, table: "orders".to_owned() },
            columns: std::collections::BTreeMap::new(),
            mode,
            source: TableFile::Rows(PathBuf::from("rows")),
            keeper: Some(keeper),
            session: crate::sql::Session::default(),
        }
    }

    fn wanted(columns: &[(&str, ColumnType)]) -> Vec<Column> {
        let column = |(name, kind): &(&str, ColumnType)| Column {
            name: (*name).to_owned(),
            kind: Some(*kind),
        };
        columns.iter().map(column).collect()
    }

    fn present(columns: &[(&str, ColumnType)]) -> Vec<Present> {
        wanted(columns).into_iter().map(|it| Present { name: it.name, kind: it.kind }).collect()
    }

    #[test]
    fn a_table_whose_columns_fit_stays_with_all_that_others_gave_it() {
        use ColumnType::{Integer, Real, Text};
        let whole = write(LoadMode::Replace, None);
        let has = present(&[("a", Real)]);
        let keep = Change::Keep { add: Vec::new(), widen: Vec::new() };
        assert_eq!(change(&whole, None, &wanted(&[("a", Text)]), false).unwrap(), Change::Create);
        assert_eq!(change(&whole, Some(&has), &wanted(&[("a", Integer)]), false).unwrap(), keep);
        for other in [&[("a", Text)][..], &[("b", Real)], &[("a", Real), ("b", Real)]] {
            let change = change(&whole, Some(&has), &wanted(other), false).unwrap();
            assert_eq!(change, Change::Swap, "{other:?}");
        }
    }

    #[test]
    fn rows_of_other_partitions_are_never_swapped_away() {
        use ColumnType::{Integer, Real, Text};
        let one = write(LoadMode::Replace, Some("a"));
        let has = present(&[("n", Integer), (PARTITION, Text)]);
        let wants = wanted(&[("n", Real), ("m", Text), (PARTITION, Text)]);
        let Change::Keep { add, widen } = change(&one, Some(&has), &wants, false).unwrap() else {
            panic!("the table is replaced");
        };
        assert_eq!((add[0].name.as_str(), widen), ("m", vec!["n".to_owned()]));
        let wants = wanted(&[("n", Text), (PARTITION, Text)]);
        let error = change(&one, Some(&has), &wants, false).unwrap_err();
        assert!(matches!(error, TableIoError::ColumnChanged { .. }), "{error}");
    }
}
