//! Deliveries that wait for a webhook's sensor or were set aside: which there are, having them
//! tried anew, and dropping one that can never be requested.
//!
//! Whoever drops one stands in the sensor's history of ticks. Its name stays known, so that the
//! same delivery, sent again, is none.

use millstream_model::{SkipReason, TenantId, TickStatus};
use millstream_store::deliveries::{self, WaitingDelivery};
use millstream_store::sensors;
use millstream_store::ticks::{self, NewTick};

use crate::live_sensors::tick_source;
use crate::sensors::{TICK, TRIES};
use crate::{Control, ControlError};

impl Control {
    /// The first `limit` deliveries that wait for a sensor, in the order in which they came, and
    /// behind them those that were set aside, the last one first.
    pub async fn waiting_deliveries(
        &self,
        tenant: &TenantId,
        name: &str,
        limit: u32,
    ) -> Result<Vec<WaitingDelivery>, ControlError> {
        let (_, source) = self.find_sensor(tenant, name).await?;
        let mut listed = self.store.list_deliveries(tenant, &source, limit).await?;
        let left = limit.saturating_sub(u32::try_from(listed.len()).unwrap_or(u32::MAX));
        listed.extend(self.store.list_set_aside(tenant, &source, left).await?);
        Ok(listed)
    }

    /// Has a delivery that was set aside, or that waits for its next try, tried anew by the
    /// sensor's next tick, or all such where none is named: how many there are.
    pub async fn resend_deliveries(
        &self,
        tenant: &TenantId,
        name: &str,
        delivery: Option<&str>,
    ) -> Result<usize, ControlError> {
        let row = self.sensor_view(tenant, name).await?;
        self.stored_sensor(tenant, &row.location, name).await?;
        let source = tick_source(&row.location, name);
        let at = (row.every.0, self.now());
        let resent = self.store.resend_deliveries((tenant, &source), delivery, at).await?;
        match delivery {
            Some(delivery) if resent == 0 => {
                let (sensor, delivery) = (name.to_owned(), delivery.to_owned());
                Err(ControlError::DeliveryUntried { sensor, delivery })
            }
            _ => Ok(resent),
        }
    }

    /// Drops a delivery that waits for a sensor or was set aside. A tick that is under way
    /// meanwhile is not stored.
    pub async fn drop_delivery(
        &self,
        tenant: &TenantId,
        name: &str,
        (delivery, by): (&str, &str),
    ) -> Result<(), ControlError> {
        let unknown = || ControlError::DeliveryUnknown {
            sensor: name.to_owned(),
            delivery: delivery.to_owned(),
        };
        for _ in 0..TRIES {
            let row = self.sensor_view(tenant, name).await?;
            self.stored_sensor(tenant, &row.location, name).await?;
            let source = tick_source(&row.location, name);
            if !self.store.delivery_is_kept(tenant, &source, delivery).await? {
                return Err(unknown());
            }
            let memory = self.store.sensor_memory(tenant, &source).await?.ok_or_else(unknown)?;
            let now = self.now().max(memory.stored.cursor.after(TICK));
            let (delivery, by) = (delivery.to_owned(), by.to_owned());
            let mut batch = sensors::set_cursor(&memory.stored, memory.cursor.as_deref(), now);
            deliveries::take(&mut batch, tenant, &source, (std::slice::from_ref(&delivery), now));
            deliveries::wake_if_waiting(&mut batch, tenant, &source, now);
            let tick = NewTick {
                source,
                nominal: now,
                decided_at: now,
                status: TickStatus::Skipped,
                skipped: Some(SkipReason::Dropped { delivery, by }),
                error: None,
                warnings: Vec::new(),
                runs: Vec::new(),
            };
            ticks::insert(&mut batch, tenant, &[tick]);
            match self.store.apply(batch).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::SensorContended { sensor: name.to_owned() })
    }
}
