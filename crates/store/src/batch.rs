//! A write as a value: statements that are committed together or not at all.

use millstream_model::{RunId, TenantId};

use crate::{Row, Sql, Value};

/// Whose rows a batch or a read may touch; on Postgres the database itself enforces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The rows of these tenants.
    Tenants(Vec<TenantId>),
    /// The queue, lease and due-work columns of all tenants.
    Daemon,
    /// The tables of the instance itself.
    Instance,
}

impl Scope {
    /// The rows of one tenant.
    pub fn tenant(tenant: &TenantId) -> Self {
        Self::Tenants(vec![tenant.clone()])
    }
}

/// How many rows a statement must touch for its batch to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Any number.
    Any,
    /// Exactly this many; otherwise the whole batch is rolled back as a conflict.
    Rows(u32),
}

/// One statement of a batch with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) sql: &'static Sql,
    pub(crate) params: Vec<Value>,
    pub(crate) expect: Expect,
}

/// Statements that are committed together or not at all.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Batch {
    pub(crate) scope: Scope,
    pub(crate) steps: Vec<Step>,
    /// Whether a daemon may have something to do now: a run may start, a request waits.
    pub(crate) wakes_daemon: bool,
    /// Whether workers that wait for slots should look.
    pub(crate) grants_slots: bool,
    /// The runs that are over with it.
    pub(crate) ends: Vec<RunId>,
}

impl Batch {
    /// An empty batch over the rows that `scope` names.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            steps: Vec::new(),
            wakes_daemon: false,
            grants_slots: false,
            ends: Vec::new(),
        }
    }

    /// An empty batch over one tenant's rows.
    pub fn for_tenant(tenant: &TenantId) -> Self {
        Self::new(Scope::tenant(tenant))
    }

    /// Adds a statement that may touch any number of rows.
    pub fn then(mut self, sql: &'static Sql, params: Vec<Value>) -> Self {
        self.push(sql, params, Expect::Any);
        self
    }

    /// Adds a statement that must touch exactly one row.
    pub fn then_one(mut self, sql: &'static Sql, params: Vec<Value>) -> Self {
        self.push(sql, params, Expect::Rows(1));
        self
    }

    /// Adds a statement.
    pub fn push(&mut self, sql: &'static Sql, params: Vec<Value>, expect: Expect) {
        self.steps.push(Step { sql, params, expect });
    }

    /// Adds what `other`, of the same scope, does; the events are not among it.
    pub fn append(&mut self, other: Self) {
        self.steps.extend(other.steps);
        self.wakes_daemon |= other.wakes_daemon;
        self.ends.extend(other.ends);
        self.grants_slots |= other.grants_slots;
    }

    /// How many statements it has.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// What a committed batch gave back: the rows of each statement with `RETURNING`, in order.
#[derive(Debug, Default)]
pub struct Applied {
    pub(crate) rows: Vec<Vec<Row>>,
}

impl Applied {
    /// The rows that the statement at `index` returned.
    pub fn rows(&mut self, index: usize) -> Vec<Row> {
        self.rows.get_mut(index).map(std::mem::take).unwrap_or_default()
    }
}
