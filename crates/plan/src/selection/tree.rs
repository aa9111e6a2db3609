//! A selection as a tree, and what is said of a text that is none.

use millstream_model::{AssetKey, ErrorCode};

use super::pattern::Pattern;

/// A selection whose text is valid. Whether the assets exist is asked of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(pub(super) Node);

/// Why a text is not a selection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("selection `{text}`, character {position}: {problem}")]
pub struct SelectionError {
    /// The rejected text, cut to a length that can be shown.
    pub text: String,
    /// Where, in characters from 1.
    pub position: usize,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl SelectionError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::SelectionSyntax
    }
}

/// A part of a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Key(AssetKey),
    KeyLike(Pattern),
    Tag { name: Pattern, value: Option<Pattern> },
    Group(Pattern),
    Kind(Pattern),
    Owner(Pattern),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Around { center: Box<Self>, up: Reach, down: Reach },
}

/// How far from an asset a selection reaches, in levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach(pub(super) u32);

impl Reach {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(u32::MAX);
}
