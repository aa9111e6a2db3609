//! Cron expressions: checked once, asked for their next fire time.
