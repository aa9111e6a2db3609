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
    /// Whether it is known to hold nothing but null, so that its type says nothing.
    pub(super) is_null: bool,
}

/// The columns of `present` whose type is another than that of `wanted` and may say nothing: text
/// is what a column becomes whose rows are all null.
pub(super) fn doubted<'p>(
    write: &TableWrite,
    present: Option<&'p mut Vec<Present>>,
    wanted: &[Column],
) -> Vec<&'p mut Present> {
    let is_doubted = |it: &&mut Present| {
        let same_name = |column: &&Column| column.name == it.name;
        let gets = wanted.iter().find(same_name).and_then(|column| column.kind);
        it.kind == Some(ColumnType::Text) && gets.is_some_and(|gets| gets != ColumnType::Text)
    };
    let ours = present.filter(|_| write.keeper.is_some());
    ours.into_iter().flatten().filter(is_doubted).collect()
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
        /// Columns that hold nothing but null and get another type.
        retype: Vec<Column>,
    },
}

impl Change {
    /// What the table has of the columns `present` once this is done; the rest are new.
    pub(super) fn left(&self, present: Option<Vec<Present>>) -> Vec<Present> {
        let Self::Keep { widen, retype, .. } = self else { return Vec::new() };
        let mut left = present.unwrap_or_default();
        for column in &mut left {
            if widen.contains(&column.name) {
                column.kind = Some(ColumnType::Real);
            }
            if let Some(gets) = retype.iter().find(|gets| gets.name == column.name) {
                column.kind = gets.kind;
            }
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
    let mut retype = Vec::new();
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
            _ if found.is_null => retype.push(column.clone()),
            (has, gets) => return Err(changed(write, &column.name, has, gets)),
        }
    }
    // A table that a `load` step shares with its users may have columns that the rows do not fill.
    let has_more = write.keeper.is_some() && present.len() > wanted.len();
    if replaces_all && (!add.is_empty() || has_more) {
        return Ok(Change::Swap);
    }
    Ok(Change::Keep { add, widen, retype })
}

/// The error of rows with `gets` for a column that has `has`, and rows that stay.
fn changed(write: &TableWrite, column: &str, has: ColumnType, gets: ColumnType) -> TableIoError {
    let anew = match write.keeper {
        Some(_) => "drop the table, and make its partitions again",
        None => "give the table's column that type",
    };
    let (is_declared, old) = (write.columns.contains_key(column), has.as_str());
    let remedy = match has {
        _ if is_declared => format!("declare `{column}: {old}` under `columns`, or {anew}"),
        // They take every value.
        ColumnType::Text | ColumnType::Json => format!("declare `{column}: {old}` under `columns`"),
        ColumnType::Integer | ColumnType::Real | ColumnType::Boolean => {
            let all = if gets == ColumnType::Json { gets } else { ColumnType::Text }.as_str();
            format!("mend the values, or declare `{column}: {all}` under `columns` and {anew}")
        }
    };
    let (table, column) = (write.table.to_string(), column.to_owned());
    TableIoError::ColumnChanged { table, column, has: old, wanted: gets.as_str(), remedy }
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
        let present = |it: Column| Present { name: it.name, kind: it.kind, is_null: false };
        wanted(columns).into_iter().map(present).collect()
    }

    #[test]
    fn a_table_whose_columns_fit_stays_with_all_that_others_gave_it() {
        use ColumnType::{Integer, Real, Text};
        let whole = write(LoadMode::Replace, None);
        let has = present(&[("a", Real)]);
        let [add, retype] = [Vec::new(), Vec::new()];
        let keep = Change::Keep { add, widen: Vec::new(), retype };
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
        let Change::Keep { add, widen, .. } = change(&one, Some(&has), &wants, false).unwrap()
        else {
            panic!("the table is replaced");
        };
        assert_eq!((add[0].name.as_str(), widen), ("m", vec!["n".to_owned()]));
        let wants = wanted(&[("n", Text), (PARTITION, Text)]);
        let error = change(&one, Some(&has), &wants, false).unwrap_err();
        assert!(matches!(error, TableIoError::ColumnChanged { .. }), "{error}");

        let told = "mend the values, or declare `n: text` under `columns` and drop the table, and \
                    make its partitions again";
        assert!(error.to_string().ends_with(told), "{error}");

        let mut has = present(&[("n", Text), (PARTITION, Text)]);
        let wants = wanted(&[("n", Integer), (PARTITION, Text)]);
        let doubted = doubted(&one, Some(&mut has), &wants);
        assert_eq!(doubted.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["n"]);
        let error = change(&one, Some(&has), &wants, false).unwrap_err().to_string();
        assert!(error.ends_with("hold `integer`; declare `n: text` under `columns`"), "{error}");
        let columns = [("n".to_owned(), Integer)].into();
        let declared = TableWrite { columns, ..one.clone() };
        let error = change(&declared, Some(&has), &wants, false).unwrap_err().to_string();
        assert!(error.ends_with("or drop the table, and make its partitions again"), "{error}");
        has[0].is_null = true;
        let change = change(&one, Some(&has), &wants, false).unwrap();
        let retype = wanted(&[("n", Integer)]);
        assert_eq!(change, Change::Keep { add: Vec::new(), widen: Vec::new(), retype });
        assert_eq!(change.left(Some(has))[0].kind, Some(Integer));
    }
}
