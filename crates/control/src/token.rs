//! Run tokens: what a worker shows to speak for one launch of one run.
//!
//! A token is a keyed hash over the run and its epoch under the instance's secret, so none is
//! stored and the token of an earlier launch proves nothing about a later one.

use millstream_model::worker_api::RunToken;
use millstream_model::{ClaimedRun, RunId, TenantId};
use millstream_store::{StoreError, instance};

use crate::Control;

/// The setting that holds the instance's secret.
const SECRET: &str = "run_token_secret";

/// The right to speak for one launch of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRight {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// The launch.
    pub epoch: i64,
}

impl Control {
    /// The token for one launch: `<tenant>:<run>:<epoch>:<hash>`.
    pub async fn run_token(&self, run: &ClaimedRun) -> Result<RunToken, StoreError> {
        let subject = format!("{}:{}:{}", run.tenant, run.run, run.epoch);
        let hash = self.token_hash(&subject).await?;
        Ok(RunToken::new(format!("{subject}:{}", hash.to_hex())))
    }

    /// What a token gives the right to, or `None` when it is not one of this instance's.
    pub async fn check_run_token(&self, token: &str) -> Result<Option<RunRight>, StoreError> {
        let Some((subject, hash)) = token.rsplit_once(':') else { return Ok(None) };
        let Ok(shown) = blake3::Hash::from_hex(hash) else { return Ok(None) };
        // The comparison of these hashes takes the same time wherever they differ.
        if shown != self.token_hash(subject).await? {
            return Ok(None);
        }
        let mut parts = subject.splitn(3, ':');
        let right = (|| {
            Some(RunRight {
                tenant: parts.next()?.parse().ok()?,
                run: parts.next()?.parse().ok()?,
                epoch: parts.next()?.parse().ok()?,
            })
        })();
        Ok(right)
    }

    async fn token_hash(&self, subject: &str) -> Result<blake3::Hash, StoreError> {
        let secret = self.token_secret().await?;
        let key = blake3::derive_key("millstream run token v1", secret.as_bytes());
        Ok(blake3::keyed_hash(&key, subject.as_bytes()))
    }

    /// The instance's secret; made by whoever needs it first.
    async fn token_secret(&self) -> Result<String, StoreError> {
        if let Some(secret) = self.token_secret.get() {
            return Ok(secret.clone());
        }
        let mut random = [0; 32];
        self.seams.entropy.fill(&mut random);
        let fresh = blake3::hash(&random).to_hex().to_string();
        self.store.apply(instance::keep_first_setting(SECRET, &fresh)).await?;
        let secret = self.store.setting(SECRET).await?.unwrap_or(fresh);
        Ok(self.token_secret.get_or_init(|| secret).clone())
    }
}
