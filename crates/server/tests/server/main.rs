//! The server's tests: pages from sample rows, and the router in process.

#[cfg(test)]
mod api;
#[cfg(test)]
mod gallery;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod now;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod schedule_samples;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod site;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod worker;
