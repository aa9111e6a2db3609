//! Whether what ticks is on: by its file's word, and by one that somebody gave over it.

use millstream_decide::condition::{ConditionError, holds};
use millstream_model::view::SwitchWord;
use millstream_model::{Manifest, Switch, TenantId};
use millstream_store::sources::{SourceWord, StoredSource};

use crate::Control;

/// Whether something ticks, and by whose word.
pub(crate) struct Switched {
    pub(crate) enabled: bool,
    pub(crate) enabled_default: bool,
    pub(crate) enabled_override: Option<SwitchWord>,
}

impl Switched {
    /// Of what is called `name`, as stored; `by_file` says what the file says.
    ///
    /// Of a template the daemon's word counts, whose environment may be another, once it is stored
    /// under this name.
    pub(crate) fn of(
        (name, switch): (&str, &Switch),
        stored: Option<&StoredSource>,
        word: Option<SourceWord>,
        by_file: impl FnOnce() -> Result<bool, ConditionError>,
    ) -> Self {
        let enabled_default = match (switch, stored) {
            (Switch::Template(_), Some(stored)) if stored.source.name == name => stored.default_on,
            _ => by_file().unwrap_or(false),
        };
        let on = stored.and_then(|stored| stored.override_on);
        let enabled_override = match (on, word) {
            (Some(on), Some(SourceWord { by, at })) => Some(SwitchWord { on, by, at }),
            _ => None,
        };
        Self { enabled: on.unwrap_or(enabled_default), enabled_default, enabled_override }
    }
}

impl Control {
    /// What the file says of whether something ticks for `tenant`.
    pub(crate) fn default_on(
        &self,
        manifest: &Manifest,
        tenant: &TenantId,
        switch: &Switch,
    ) -> Result<bool, ConditionError> {
        match switch {
            Switch::Fixed(on) => Ok(*on),
            Switch::Template(text) => {
                holds(text, &self.names(tenant, manifest.tenants.get(tenant)))
            }
        }
    }

    /// Whether what is called `name` ticks for `tenant` by the file, and whether it does with the
    /// `word` that somebody gave over it. What cannot be evaluated is taken as off.
    pub(crate) fn on_by_file_and_word(
        &self,
        (manifest, switch): (&Manifest, &Switch),
        (tenant, name): (&TenantId, &str),
        word: Option<bool>,
    ) -> (bool, bool) {
        let by_file = self.default_on(manifest, tenant, switch).unwrap_or_else(|error| {
            tracing::warn!(%tenant, name, %error, "it is taken as off");
            false
        });
        (by_file, word.unwrap_or(by_file))
    }
}
