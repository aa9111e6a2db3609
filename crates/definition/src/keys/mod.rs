//! The keys of every object that a definition file may hold: one table, two readers.
//!
//! The decoders refuse what is not in it ([`crate::fields::Fields`]), and [`crate::schema()`]
//! writes it out for editors. A key is declared here and nowhere else; what its value means is the
//! decoder's to say.
//!
//! **Invariant.** Each key has a decoder that reads it, and each decoder reads only keys that are
//! here: `tests/all/schema.rs` goes through `tests/good/every_key.yaml`, which has all of them.

pub(crate) mod assets;
pub(crate) mod http;
pub(crate) mod jobs;
pub(crate) mod partitions;
pub(crate) mod queue;
pub(crate) mod schedules;
pub(crate) mod sensors;
pub(crate) mod settings;
pub(crate) mod steps;

/// One key of an object.
#[derive(Debug)]
pub(crate) struct Key {
    /// How it is written.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) shape: Shape,
    /// What it is for, as one sentence without its full stop.
    pub(crate) says: &'static str,
    /// Whether it may be left out.
    pub(crate) presence: Presence,
}

/// Whether a key may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It may.
    Optional,
    /// It may, and counts as this value then: JSON.
    Default(&'static str),
    /// It may not.
    Needed,
}

/// What a key may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Text, or a number or flag that is taken as it is written.
    Text,
    /// True or false.
    Flag,
    /// A whole number from the first to the second.
    Whole(u32, u32),
    /// A whole number, negative or not, no further from 0 than this.
    Signed(i64),
    /// Seconds, or text like `5m`.
    Duration,
    /// A number of bytes, or text like `512 MiB`.
    Size,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A list of at least so many of these.
    List(usize, &'static Shape),
    /// An object with the author's own names as keys.
    Map(&'static Shape),
    /// An object with known keys.
    Object(&'static Object),
    /// An object whose keys depend on its kind.
    Kinds(&'static Kinds),
    /// One of these.
    Either(&'static [Shape]),
    /// The step of an asset.
    Step,
    /// A step of a job.
    Node,
    /// A partitions definition, whose dimensions may hold others.
    Partitions,
    /// Nothing: everything in it may be left out.
    Null,
    /// Any value.
    Any,
}

/// An object with known keys.
#[derive(Debug)]
pub(crate) struct Object {
    /// What the schema calls it.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) says: &'static str,
    /// The keys of which it has exactly one; none when that does not matter.
    pub(crate) one_of: &'static [&'static str],
    /// Its keys, in groups that objects share.
    pub(crate) keys: &'static [&'static [Key]],
}

/// Objects that a word under one key tells apart.
#[derive(Debug)]
pub(crate) struct Kinds {
    /// What the schema calls them.
    pub(crate) name: &'static str,
    /// What they are.
    pub(crate) says: &'static str,
    /// The kinds.
    pub(crate) list: &'static [Kind],
}

/// One kind of object.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The word under `kind`.
    pub(crate) word: &'static str,
    /// What it is.
    pub(crate) says: &'static str,
    /// Its keys beside `kind`, in groups that objects share.
    pub(crate) keys: &'static [&'static [Key]],
}

/// A key that may be left out.
pub(crate) const fn key(name: &'static str, shape: Shape, says: &'static str) -> Key {
    Key { name, shape, says, presence: Presence::Optional }
}

impl Key {
    /// The same key, which may not be left out.
    pub(crate) const fn needed(self) -> Self {
        Self { presence: Presence::Needed, ..self }
    }

    /// The same key, which counts as `json` when it is left out.
    pub(crate) const fn or(self, json: &'static str) -> Self {
        Self { presence: Presence::Default(json), ..self }
    }
}

/// A list of texts, or of numbers and flags that are taken as they are written.
pub(crate) const TEXTS: Shape = Shape::List(0, &Shape::Text);

/// Texts by name.
pub(crate) const TEXT_MAP: Shape = Shape::Map(&Shape::Text);

/// Any object.
pub(crate) const ANY_OBJECT: Shape = Shape::Map(&Shape::Any);

/// What tells the kinds of an object apart.
pub(crate) const KIND: &[Key] = &[key("kind", Shape::Text, "which kind it is").needed()];

/// The sections of a file.
pub(crate) const SECTIONS: Object = Object {
    name: "sections",
    says: "What a file of sections declares",
    one_of: &[],
    keys: &[&[
        key(
            "assets",
            Shape::Map(&Shape::Either(&[Shape::Object(&assets::ASSET), Shape::Null])),
            "things that runs make and keep, by key",
        ),
        key("partitions", Shape::Map(&Shape::Partitions), "how assets are divided, by name"),
        key("jobs", Shape::Map(&Shape::Object(&jobs::JOB)), "what is run together, by name"),
        key(
            "resources",
            Shape::Map(&Shape::Kinds(&settings::RESOURCE)),
            "what steps talk to, by name",
        ),
        key("io", Shape::Map(&Shape::Kinds(&settings::IO)), "where results are kept, by name"),
        key(
            "handlers",
            Shape::Map(&settings::HANDLER),
            "what the modules of local steps mean, by name; the first row that matches decides",
        ),
        key(
            "tenants",
            Shape::Map(&Shape::Either(&[Shape::Object(&settings::TENANT), Shape::Null])),
            "the tenants that take part, by id",
        ),
        key(
            "schedules",
            Shape::Map(&Shape::Object(&schedules::SCHEDULE)),
            "when runs are requested, by name",
        ),
        key(
            "sensors",
            Shape::Map(&Shape::Kinds(&sensors::SENSOR)),
            "what is asked again and again, by name",
        ),
        key(
            "calendars",
            Shape::Map(&schedules::CALENDAR),
            "days that schedules can leave out, by name",
        ),
        key(
            "pools",
            Shape::Map(&Shape::Either(&[
                Shape::Whole(0, queue::COUNT_MAX),
                Shape::Object(&queue::POOL),
            ])),
            "slots that steps hold while they run, by name",
        ),
        key("queue", Shape::Object(&queue::QUEUE), "what limits how many runs go on at once"),
    ]],
};
