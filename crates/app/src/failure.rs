//! The settings of failures: how long things may take, and whether runs are retried.

use std::time::Duration;

use millstream_control::Patience;

use crate::settings::{Misread, interval};

/// How long things may take, and whether runs are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FailureSettings {
    /// How long a worker may take to its first sign of life; the lease when absent.
    start_timeout: Option<Duration>,
    /// How long a worker may take to stop a run that is to be canceled.
    cancel_timeout: Option<Duration>,
    /// How long a run may go on where its job does not say.
    run_timeout: Option<Duration>,
    /// Whether failed runs are tried again as their jobs say.
    pub(crate) run_retries: bool,
}

impl FailureSettings {
    /// The settings in an environment that `variable` looks up.
    pub(crate) fn read(
        variable: impl Fn(&str) -> Option<String>,
        warnings: &mut Vec<Misread>,
    ) -> Self {
        let mut timeout = |name: &str| {
            let text = variable(name)?;
            let limit = interval(&text);
            if limit.is_none() {
                warnings.push(Misread::unusable(name, &text));
            }
            limit
        };
        let start_timeout = timeout("MILLSTREAM_START_TIMEOUT");
        let cancel_timeout = timeout("MILLSTREAM_CANCEL_TIMEOUT");
        let run_timeout = timeout("MILLSTREAM_RUN_TIMEOUT");
        let run_retries = match variable("MILLSTREAM_RUN_RETRIES").as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => {
                let problem = format!("{other}, using true");
                warnings.push(Misread::new("MILLSTREAM_RUN_RETRIES", problem));
                true
            }
        };
        Self { start_timeout, cancel_timeout, run_timeout, run_retries }
    }

    /// When a worker counts as gone, a start as failed, and a run as too long.
    pub(crate) fn patience(&self, time_to_live: Duration, launches_max: u32) -> Patience {
        let usual = Patience::new(time_to_live, launches_max);
        Patience {
            start: self.start_timeout.unwrap_or(usual.start),
            cancel: self.cancel_timeout.unwrap_or(usual.cancel),
            run: self.run_timeout,
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (FailureSettings, Vec<Misread>) {
        let mut warnings = Vec::new();
        let variable = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        (FailureSettings::read(variable, &mut warnings), warnings)
    }

    #[test]
    fn r146_r147_timeouts_and_retries_are_as_configured_and_a_bad_one_is_a_warning() {
        let lease = Duration::from_secs(15);
        let usual = read(&[]).0.patience(lease, 3);
        assert_eq!((usual.start, usual.run), (lease, None));
        assert_eq!(usual.cancel, Duration::from_mins(5));
        let variables = [
            ("MILLSTREAM_START_TIMEOUT", "10m"),
            ("MILLSTREAM_CANCEL_TIMEOUT", "30s"),
            ("MILLSTREAM_RUN_TIMEOUT", "2h"),
        ];
        let set = read(&variables).0.patience(lease, 3);
        assert_eq!((set.start, set.cancel), (Duration::from_mins(10), Duration::from_secs(30)));
        assert_eq!(set.run, Some(Duration::from_hours(2)));
        assert_eq!(read(&[("MILLSTREAM_RUN_TIMEOUT", "soon")]).1.len(), 1);
        assert!(read(&[]).0.run_retries);
        assert!(!read(&[("MILLSTREAM_RUN_RETRIES", "false")]).0.run_retries);
    }
}
