//! Wishes to have a sensor tick now, which daemons answer.
//!
//! Nobody claims a wish: every daemon that finds it may answer it, and one that has died may have
//! had the sensor tick before. A wish therefore says where the sensor stood when it was written. A
//! tick that is stored since is its answer, whoever made it, and nobody is asked any more.

use std::time::Duration;

use millstream_model::{TickRow, TickWarning, Timestamp, shell_word};
use serde::{Deserialize, Serialize};

use crate::sensor_asking::SensorAsking;
use crate::sensor_groups::Sensor;
use crate::sensor_replies::SensorReply;
use crate::sensor_ticks::SensorTicked;
use crate::{Control, ControlError};

/// How long a server waits for a daemon's answer to what it has asked for.
pub const DAEMON_WAIT: Duration = Duration::from_secs(20);

/// A wish to have a sensor tick now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickWish {
    /// The sensor.
    pub sensor: Sensor,
    /// Where its ticks stood when the wish was written.
    pub from: Timestamp,
    /// When it was written.
    pub asked_at: Timestamp,
}

/// What is to become of a wish.
#[derive(Debug)]
pub enum Wished {
    /// The sensor is to be asked.
    Ask(Box<SensorAsking>),
    /// It has ticked since the wish was written.
    Ticked(Box<TickRow>),
}

impl Control {
    /// What is to become of a wish, or why the sensor does not tick.
    pub async fn begin_wish(&self, wish: &TickWish) -> Result<Wished, ControlError> {
        let (tenant, source) = &wish.sensor;
        // Before the look at its ticks: one that is stored in between makes this one conflict.
        let asking = self.begin_sensor(tenant, source).await?;
        if let Some(tick) = self.tick_since(wish).await? {
            return Ok(Wished::Ticked(Box::new(tick)));
        }
        let sensor = source.name.clone();
        if self.now() > wish.asked_at.after(DAEMON_WAIT) {
            return Err(ControlError::SensorWishOld { sensor });
        }
        match asking {
            Some(asking) if !asking.enabled => {
                let word = shell_word(&sensor);
                Err(ControlError::SensorOff { sensor, word })
            }
            Some(asking) if asking.from == wish.from => Ok(Wished::Ask(Box::new(asking.by_hand()))),
            _ => Err(ControlError::SensorChanged { sensor }),
        }
    }

    /// Stores the tick that was wished for, and answers with it, or with the one that somebody
    /// else has stored meanwhile.
    ///
    /// Crash-safe: who finds the wish again finds the tick.
    pub async fn settle_wish(
        &self,
        wish: &TickWish,
        asking: &SensorAsking,
        reply: Result<SensorReply, TickWarning>,
    ) -> Result<(SensorTicked, TickRow), ControlError> {
        let ticked = self.settle_sensor(asking, reply).await?;
        match self.tick_since(wish).await? {
            Some(tick) => Ok((ticked, tick)),
            None => Err(ControlError::SensorChanged { sensor: wish.sensor.1.name.clone() }),
        }
    }

    /// The newest tick, if it was stored after the wish was written.
    async fn tick_since(&self, wish: &TickWish) -> Result<Option<TickRow>, ControlError> {
        let (tenant, source) = &wish.sensor;
        let newest = self.store.ticks(tenant, source, None, 1).await?;
        Ok(newest.into_iter().next().filter(|tick| tick.nominal > wish.from))
    }
}
