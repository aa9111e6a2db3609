//! Steps of assets that give their IO manager no rows, found when files are put together, since
//! another file may declare the IO manager.
//!
//! Called by [`crate::references`] for each asset with a step and an IO manager.

use millstream_model::{IoDef, StepConfig};

use crate::reporter::Reporter;

impl Reporter<'_, '_> {
    /// Reports that the step of the asset `key`, which `io` keeps, does not say what its rows are.
    pub(crate) fn rows_to_keep(&mut self, key: &str, step: &StepConfig, io: &IoDef) {
        let path = ["asset", key, "step"];
        let is_json = matches!(io, IoDef::Json(_));
        match step {
            StepConfig::Sql(sql) if !sql.rows => {
                let help = "write `rows: true` to keep the rows of the last statement, or leave \
                            out the asset's `io`"
                    .to_owned();
                let what = format!("Asset `{key}` has an `io` and its statements give no rows");
                if is_json {
                    let message = format!("{what}: only how many they changed would be kept");
                    self.warning(&path, message, help);
                } else {
                    self.error(&path, what, help);
                }
            }
            // An answer that is the list itself may be kept without it.
            StepConfig::Http(http) if http.rows.is_none() && !is_json => {
                let message = format!(
                    "Asset `{key}` is kept as rows, and its step does not say where they are in \
                     the answer"
                );
                let help = "write `rows: /data` for the list under `data`, and `rows: \"\"` when \
                            the answer is the list"
                    .to_owned();
                self.warning(&path, message, help);
            }
            _ => {}
        }
    }
}
