//! Whether what the ticks of a schedule want can ever be there.
//!
//! `control` asks when definitions are loaded, so that no tick has to find it out.

use millstream_model::{
    DimensionName, PartWanted, PartitionKey, PartitionsDef, PartitionsName, TickPartitions, nearest,
};

/// Values of a dimension that a message names.
const VALUES_NAMED: usize = 5;

/// Why nothing can ever fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: String,
}

/// Why no key of `def`, which is called `by`, can ever be one that is wanted.
pub fn never_fits(
    (by, def): (&PartitionsName, &PartitionsDef),
    wanted: &TickPartitions,
) -> Option<Misfit> {
    let TickPartitions::Matching(parts) = wanted else {
        if *wanted == TickPartitions::All || has_windows(def) {
            return None;
        }
        let message = format!("`latest` is the newest window of time, and `{by}` has none");
        let help = "write `all`, or parts like `{ grain: day }`".to_owned();
        return Some(Misfit { message, help });
    };
    parts.iter().find_map(|(name, wanted)| {
        let def = dimension(def, name)?;
        match (wanted, def) {
            (PartWanted::Latest, PartitionsDef::TimeWindow(_)) => None,
            (PartWanted::Latest, _) => {
                let message = format!(
                    "`latest` is the newest window of time, and dimension `{name}` of `{by}` has \
                     none"
                );
                let help = "write the values that are wanted".to_owned();
                Some(Misfit { message, help })
            }
            (PartWanted::OneOf(texts), PartitionsDef::Static { keys }) => {
                let keys: Vec<&str> = keys.iter().map(PartitionKey::as_str).collect();
                let unknown = texts.iter().find(|text| !keys.contains(&text.as_str()))?;
                let message = format!("dimension `{name}` of `{by}` has no value `{unknown}`");
                let near = nearest(unknown, keys.iter().copied());
                let near = near.map(|near| format!("did you mean `{near}`? "));
                let some = keys.iter().take(VALUES_NAMED).copied().collect::<Vec<_>>().join(", ");
                let help = format!("{}its values begin with {some}", near.unwrap_or_default());
                Some(Misfit { message, help })
            }
            (PartWanted::OneOf(_), _) => None,
        }
    })
}

/// Whether some of the definition's keys are windows of time.
fn has_windows(def: &PartitionsDef) -> bool {
    match def {
        PartitionsDef::TimeWindow(_) => true,
        PartitionsDef::Static { .. } | PartitionsDef::Dynamic(_) => false,
        PartitionsDef::Multi { dimensions } => dimensions.values().any(has_windows),
    }
}

/// What divides the dimension `name` of a definition, which is the definition itself where its keys
/// have the dimension; `None` where there is none of the name.
fn dimension<'a>(def: &'a PartitionsDef, name: &DimensionName) -> Option<&'a PartitionsDef> {
    match def {
        PartitionsDef::Static { .. } | PartitionsDef::TimeWindow(_) => None,
        PartitionsDef::Dynamic(dynamic) => dynamic.dimensions.contains(name).then_some(def),
        PartitionsDef::Multi { dimensions } => match dimensions.get(name) {
            Some(own) => Some(own),
            None => dimensions.values().find_map(|inner| dimension(inner, name)),
        },
    }
}
