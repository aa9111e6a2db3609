//! The tenants in which a change of definitions has a schedule or a sensor begin, stop or go on.
//!
//! Pure: [`crate::retimed`] and [`crate::sensing`] ask it of two manifests.

use std::collections::BTreeSet;

use millstream_model::{Manifest, TenantId, some_names};

/// The tenants of two manifests that are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenants {
    /// Whether one of them says which there are; otherwise another file may.
    are_declared: bool,
}

/// On which side of a change a thing ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ticks {
    /// Until then.
    Before,
    /// From then on.
    After,
    /// On both.
    Both,
}

impl Tenants {
    /// Those of a change from `old` to `new`.
    pub(crate) fn of(old: &Manifest, new: &Manifest) -> Self {
        let declares = |manifest: &Manifest| {
            let is_default = |id: &TenantId| *id == TenantId::default_tenant();
            let mut ids = manifest.enabled_tenants().map(|(id, _)| id);
            manifest.tenants.len() != 1 || !ids.next().is_some_and(is_default)
        };
        Self { are_declared: declares(old) || declares(new) }
    }

    /// The tenants in which a thing of `manifest` that names `named` takes part; all where it names
    /// none. One that is declared nowhere here may be in another file.
    pub(crate) fn taking_part(self, manifest: &Manifest, named: &[TenantId]) -> BTreeSet<TenantId> {
        if !self.are_declared {
            return [TenantId::default_tenant()].into();
        }
        if named.is_empty() {
            return manifest.enabled_tenants().map(|(id, _)| id.clone()).collect();
        }
        let is_on = |id: &&TenantId| manifest.tenants.get(*id).is_none_or(|it| it.enabled);
        named.iter().filter(is_on).cloned().collect()
    }
}

/// What is called `name` by the tenants in which it ticks on both sides, or on one: they are named
/// where it ticks in others as well.
pub(crate) fn apart(
    name: &str,
    before: &BTreeSet<TenantId>,
    after: &BTreeSet<TenantId>,
) -> Vec<(String, Ticks)> {
    let whole = |ticks| vec![(name.to_owned(), ticks)];
    match (before.is_empty(), after.is_empty()) {
        (true, true) => return Vec::new(),
        (false, true) => return whole(Ticks::Before),
        (true, false) => return whole(Ticks::After),
        (false, false) => {}
    }
    let mut found = if before.is_disjoint(after) { Vec::new() } else { whole(Ticks::Both) };
    for (some, others, ticks) in [(before, after, Ticks::Before), (after, before, Ticks::After)] {
        let some: BTreeSet<TenantId> = some.difference(others).cloned().collect();
        if !some.is_empty() {
            found.push((in_tenants(name, &some), ticks));
        }
    }
    found
}

/// `name` with some of the tenants in which it is.
pub(crate) fn in_tenants(name: &str, tenants: &BTreeSet<TenantId>) -> String {
    let tenants: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
    format!("{name} in {}", some_names(&tenants))
}
