//! Whole runs with real processes, against a control plane that writes down what it hears.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod assets;
mod bench;
mod forks;
mod http;
mod lambda;
mod limits;
mod outages;
mod outcomes;
mod pipes;
mod processes;
mod python;
mod python_limits;
mod scratch;
mod speaking;
mod supervisors;
mod unmade;
mod warm;
