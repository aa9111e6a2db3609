//! Who asks, and what they may do.

use serde::{Deserialize, Serialize};

use crate::TenantId;

/// What a caller may do in a tenant; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything of the tenant's but secrets.
    Viewer,
    /// Launches, cancels, materializes, adds and removes partitions.
    Launcher,
    /// Scans, pauses and changes definitions.
    Editor,
    /// Manages the tenant itself.
    Admin,
}

/// Which tenants a grant is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantScope {
    /// Every tenant of the instance, those to come included.
    All,
    /// One tenant.
    One(TenantId),
}

/// A role in one tenant, or in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Where.
    pub tenants: TenantScope,
    /// What.
    pub role: Role,
}

/// Who asks: a name for the records, and the grants that decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name for causes and audit entries.
    pub name: String,
    /// What the caller may do, and where.
    pub grants: Vec<Grant>,
}

impl Caller {
    /// The developer on the machine itself: everything, everywhere.
    pub fn loopback_developer() -> Self {
        let grants = vec![Grant { tenants: TenantScope::All, role: Role::Admin }];
        Self { name: "developer".to_owned(), grants }
    }

    /// The caller's highest role in `tenant`, or `None` when the tenant does not exist for them.
    pub fn role_in(&self, tenant: &TenantId) -> Option<Role> {
        let applies = |grant: &&Grant| match &grant.tenants {
            TenantScope::All => true,
            TenantScope::One(one) => one == tenant,
        };
        self.grants.iter().filter(applies).map(|grant| grant.role).max()
    }

    /// The caller's highest role over the whole instance.
    pub fn instance_role(&self) -> Option<Role> {
        let everywhere = |grant: &&Grant| grant.tenants == TenantScope::All;
        self.grants.iter().filter(everywhere).map(|grant| grant.role).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_in_one_tenant_says_nothing_about_another() {
        let jfk: TenantId = "jfk".parse().unwrap();
        let caller = Caller {
            name: "ana".into(),
            grants: vec![Grant { tenants: TenantScope::One(jfk.clone()), role: Role::Launcher }],
        };
        assert_eq!(caller.role_in(&jfk), Some(Role::Launcher));
        assert_eq!(caller.role_in(&"lga".parse().unwrap()), None);
        assert_eq!(caller.instance_role(), None);
    }
}
