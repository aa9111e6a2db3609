//! What every page has around its content: the bar, the tenant, the theme.

use millstream_model::TenantId;

use crate::{assets, link};

/// The frame of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The tenant whose pages these are.
    pub tenant: TenantId,
    /// Every tenant that the caller sees.
    pub tenants: Vec<TenantId>,
    /// Where in the bar the page belongs.
    pub section: Section,
    /// The palette that the reader chose.
    pub theme: Theme,
    /// The path and query of the page, to come back to.
    pub here: String,
    /// What the page wants to hear news about, with spaces between; empty for a page that is still.
    pub topics: String,
    /// The round of news that the page was made in.
    pub round: u64,
    /// How many runs need attention.
    pub problems: u64,
    /// How many definition files have errors.
    pub broken: u64,
    /// A line about what the last action did.
    pub notice: Option<String>,
    /// Why nothing new is started for the tenant, in words, where it takes no part.
    pub idle: Option<String>,
}

/// An entry of the bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What needs attention, what runs, what comes next.
    Now,
    /// Runs.
    Runs,
    /// Assets and their partitions.
    Assets,
    /// What runs by itself.
    Automation,
    /// Definitions and tenants.
    System,
}

/// The palette of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// What the reader's system prefers.
    #[default]
    Auto,
    /// Light on any system.
    Light,
    /// Dark on any system.
    Dark,
}

impl Theme {
    /// The name in the cookie and in the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme called `name`; what the system prefers when there is no such theme.
    pub fn named(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Auto,
        }
    }

    /// The theme that the button of the bar switches to.
    pub fn next(self) -> Self {
        match self {
            Self::Auto => Self::Dark,
            Self::Dark => Self::Light,
            Self::Light => Self::Auto,
        }
    }
}

/// One entry of the bar as the template draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NavEntry {
    /// Its word.
    pub word: &'static str,
    /// Its page.
    pub href: String,
    /// Whether the page belongs to it.
    pub is_current: bool,
    /// How many problems it counts; 0 shows none.
    pub problems: u64,
    /// What is wrong with them, for who cannot see their shape.
    pub wrong: &'static str,
}

impl Frame {
    /// The entries of the bar.
    pub fn nav(&self) -> Vec<NavEntry> {
        let tenant = &self.tenant;
        let entry = |section, word, href| NavEntry {
            word,
            href,
            is_current: section == self.section,
            problems: match section {
                Section::Runs => self.problems,
                Section::System => self.broken,
                _ => 0,
            },
            wrong: if section == Section::Runs { "failed" } else { "broken" },
        };
        vec![
            entry(Section::Now, "Now", link::now(tenant)),
            entry(Section::Runs, "Runs", link::runs(tenant)),
            entry(Section::Assets, "Assets", link::assets(tenant)),
            entry(Section::Automation, "Automation", link::automation(tenant)),
            entry(Section::System, "System", link::definitions(tenant)),
        ]
    }

    /// What a button has that starts something, where nothing new is started for the tenant.
    pub fn disabled(&self) -> &'static str {
        if self.idle.is_some() { " disabled" } else { "" }
    }

    /// The address of the tenant's event stream.
    pub fn stream(&self) -> String {
        format!("/{}/live?since={}", self.tenant, self.round)
    }

    /// The address of the vendored file called `name`.
    pub fn asset(&self, name: &str) -> String {
        assets::url(name)
    }
}
