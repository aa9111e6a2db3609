//! The shapes of `UI.md` §4, each with the one colour it may have.

use std::fmt;

use crate::assets;
use crate::parts::part;

/// A shape of the sprite; no two statuses that can stand side by side share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Glyph {
    /// A filled square with an × cut out.
    Failed,
    /// A square with an arrow that turns.
    Retrying,
    /// An hourglass.
    Late,
    /// A triangle.
    Warning,
    /// A hollow diamond.
    Stale,
    /// An arrow that meets a bar.
    Blocked,
    /// A hollow circle.
    Queued,
    /// A dotted circle.
    Planned,
    /// A circle with a dot.
    Starting,
    /// A half-filled circle.
    Running,
    /// A bare check.
    Ok,
    /// A plus above a minus.
    Synced,
    /// A double chevron.
    Skipped,
    /// A struck circle.
    Cancelled,
    /// A struck circle of dashes.
    Cancelling,
    /// A dash.
    Never,
    /// Two bars.
    Paused,
}

/// The colour of an exception; what is well has ink only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Well.
    Ok,
    /// Going on.
    Run,
    /// Waiting.
    Wait,
    /// Worth a look.
    Warn,
    /// Broken.
    Fail,
    /// Out of date.
    Stale,
    /// Nothing to say.
    None,
}

impl Tone {
    /// The class that sets the ink and the tint.
    pub fn class(self) -> &'static str {
        match self {
            Self::Ok => "t-ok",
            Self::Run => "t-run",
            Self::Wait => "t-wait",
            Self::Warn => "t-warn",
            Self::Fail => "t-fail",
            Self::Stale => "t-stale",
            Self::None => "t-none",
        }
    }
}

impl Glyph {
    /// Every shape.
    pub const ALL: [Self; 17] = [
        Self::Failed,
        Self::Retrying,
        Self::Late,
        Self::Warning,
        Self::Stale,
        Self::Blocked,
        Self::Queued,
        Self::Planned,
        Self::Starting,
        Self::Running,
        Self::Ok,
        Self::Synced,
        Self::Skipped,
        Self::Cancelled,
        Self::Cancelling,
        Self::Never,
        Self::Paused,
    ];

    /// The id of its symbol in the sprite.
    pub fn id(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Retrying => "retrying",
            Self::Late => "late",
            Self::Warning => "warning",
            Self::Stale => "stale",
            Self::Blocked => "blocked",
            Self::Queued => "queued",
            Self::Planned => "planned",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Synced => "synced",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Cancelling => "cancelling",
            Self::Never => "never",
            Self::Paused => "paused",
        }
    }

    /// Its colour.
    pub fn tone(self) -> Tone {
        match self {
            Self::Failed | Self::Retrying => Tone::Fail,
            Self::Late | Self::Warning => Tone::Warn,
            Self::Stale => Tone::Stale,
            Self::Blocked | Self::Queued | Self::Planned | Self::Starting => Tone::Wait,
            Self::Running => Tone::Run,
            Self::Ok | Self::Synced => Tone::Ok,
            Self::Skipped | Self::Cancelled | Self::Cancelling | Self::Never | Self::Paused => {
                Tone::None
            }
        }
    }
}

impl fmt::Display for Glyph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tone, sprite, id) = (self.tone().class(), assets::url("sprite.svg"), self.id());
        write!(f, r#"<svg class="g {tone}" aria-hidden="true"><use href="{sprite}#{id}"/></svg>"#)
    }
}

part!(Glyph);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_glyph_has_a_shape_of_its_own_in_the_sprite() {
        let sprite = assets::find(&assets::HASH, "sprite.svg").unwrap().text;
        let mut shapes = std::collections::BTreeSet::new();
        for glyph in Glyph::ALL {
            let start = format!("<symbol id=\"{}\"", glyph.id());
            let line = sprite.lines().find(|line| line.starts_with(&start));
            let shape = line.unwrap_or_else(|| panic!("{glyph:?} has no symbol"));
            assert!(shapes.insert(shape.replace(&start, "")), "{glyph:?} looks like another");
        }
    }
}
