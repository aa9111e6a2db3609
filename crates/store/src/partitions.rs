//! Dynamic partitions: the keys of a tenant, each with an ordinal that never moves.

use millstream_model::{PartitionKey, PartitionsName, TenantId, Timestamp};

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Scope, Store, StoreError};

statements! {
    ADD_PARTITION = "
        INSERT INTO dynamic_partition (tenant, definition, partition_key, ordinal, added_at)
        SELECT $1, $2, $3, COALESCE(MAX(ordinal), -1) + 1, $4 FROM dynamic_partition
        WHERE tenant = $1 AND definition = $2
        ON CONFLICT (tenant, definition, partition_key) DO UPDATE
        SET removed_at = NULL, added_at = excluded.added_at
        WHERE dynamic_partition.removed_at IS NOT NULL
        RETURNING partition_key";
    REMOVE_PARTITION = "
        UPDATE dynamic_partition SET removed_at = $4
        WHERE tenant = $1 AND definition = $2 AND partition_key = $3 AND removed_at IS NULL
        RETURNING partition_key";
    PARTITIONS = "
        SELECT partition_key FROM dynamic_partition
        WHERE tenant = $1 AND definition = $2 AND removed_at IS NULL
          AND partition_key > $3 AND LOWER(partition_key) LIKE $4 ESCAPE '~'
        ORDER BY partition_key LIMIT $5";
    COUNT_PARTITIONS = "
        SELECT COUNT(*) FROM dynamic_partition
        WHERE tenant = $1 AND definition = $2 AND removed_at IS NULL";
    PARTITIONS_KNOWN = "
        SELECT partition_key FROM dynamic_partition
        WHERE tenant = $1 AND definition = $2 AND removed_at IS NULL
          AND partition_key IN (/*texts $3*/)";
}

/// Adds a key; one that is there stays as it is, one that was removed comes back with its ordinal.
/// The statement returns the key when something changed.
pub fn add(
    batch: &mut Batch,
    tenant: &TenantId,
    definition: &PartitionsName,
    key: &PartitionKey,
    now: Timestamp,
) {
    let params = vec![tenant.into(), definition.into(), key.into(), now.into()];
    batch.push(&ADD_PARTITION, params, Expect::Any);
}

/// Removes a key; its history stays. The statement returns the key when it was there.
pub fn remove(
    batch: &mut Batch,
    tenant: &TenantId,
    definition: &PartitionsName,
    key: &PartitionKey,
    now: Timestamp,
) {
    let params = vec![tenant.into(), definition.into(), key.into(), now.into()];
    batch.push(&REMOVE_PARTITION, params, Expect::Any);
}

impl Store {
    /// The keys in their order, at most `limit` after `after` (empty for the first page), of
    /// those that contain `text`, in small or capital letters.
    pub async fn dynamic_partitions(
        &self,
        tenant: &TenantId,
        definition: &PartitionsName,
        (after, text): (&str, &str),
        limit: u32,
    ) -> Result<Vec<PartitionKey>, StoreError> {
        let text = text.to_ascii_lowercase();
        let escaped = text.replace('~', "~~").replace('%', "~%").replace('_', "~_");
        let params = vec![
            tenant.into(),
            definition.into(),
            after.into(),
            format!("%{escaped}%").into(),
            limit.into(),
        ];
        let rows = self.read(Scope::tenant(tenant), &PARTITIONS, params).await?;
        rows.into_iter().map(|mut row| row.parse()).collect()
    }

    /// How many keys there are.
    pub async fn count_dynamic_partitions(
        &self,
        tenant: &TenantId,
        definition: &PartitionsName,
    ) -> Result<u32, StoreError> {
        let params = vec![tenant.into(), definition.into()];
        let rows = self.read(Scope::tenant(tenant), &COUNT_PARTITIONS, params).await?;
        rows.into_iter().next().map_or(Ok(0), |mut row| row.count())
    }

    /// Which of `keys` exist.
    pub async fn dynamic_partitions_known(
        &self,
        tenant: &TenantId,
        definition: &PartitionsName,
        keys: &[PartitionKey],
    ) -> Result<Vec<PartitionKey>, StoreError> {
        let params = vec![tenant.into(), definition.into(), json(&keys)];
        let rows = self.read(Scope::tenant(tenant), &PARTITIONS_KNOWN, params).await?;
        rows.into_iter().map(|mut row| row.parse()).collect()
    }
}
