//! How an error is put into one line: the error and what caused it, joined by colons.
//!
//! Whatever shows or keeps an error as text asks it.

use std::error::Error;

/// The text of `error` and of all its sources that it does not repeat.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| (*cause).source()) {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_follow_in_order_and_nothing_is_said_twice() {
        let cause = Layer("refused", None);
        let middle = Layer("cannot connect: refused", Some(Box::new(cause)));
        let error = Layer("the run cannot be read", Some(Box::new(middle)));
        assert_eq!(chain(&error), "the run cannot be read: cannot connect: refused");
    }
}
