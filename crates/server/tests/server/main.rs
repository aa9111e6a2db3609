//! The server's tests: pages from sample rows, and the router in process.

#[cfg(test)]
mod gallery;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod samples;
