//! Where a file declares its things, for findings that only show when files are put together.

use std::collections::BTreeMap;

use crate::finding::Spot;
use crate::tree::Node;

/// Where the things of one file are declared, and what they refer to.
///
/// It lives beside the manifest and not in it: the same content moved by a line is the same
/// version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<Vec<String>, Spot>);

impl Places {
    /// Remembers that what `path` names stands at `spot`.
    pub(crate) fn note(&mut self, path: &[&str], spot: Spot) {
        self.0.insert(path.iter().map(|part| (*part).to_owned()).collect(), spot);
    }

    /// Remembers the same unless another place was noted before.
    pub(crate) fn note_first(&mut self, path: &[&str], spot: Spot) {
        self.0.entry(path.iter().map(|part| (*part).to_owned()).collect()).or_insert(spot);
    }

    /// Remembers where the value of `key` of `node` stands, if there is one.
    pub(crate) fn note_key(&mut self, node: &Node, path: &[&str], key: &str) {
        if let Some(entry) = node.entry(key) {
            self.note(&[path, &[key]].concat(), entry.value.spot);
        }
    }

    /// Where the job called `name` is declared, as the line and column of a place; `(0, 0)`, which
    /// is the file as a whole, when it is not.
    pub fn job(&self, name: &str) -> (u32, u32) {
        let spot = self.spot(&["job", name]);
        (spot.line, spot.column)
    }

    /// Where a key of the schedule called `name` stands, or the schedule, as [`Places::job`] does.
    pub fn schedule(&self, name: &str, key: &str) -> (u32, u32) {
        let spot = self.spot(&["schedule", name, key]);
        (spot.line, spot.column)
    }

    /// Where a key of the sensor called `name` stands, or the sensor, as [`Places::job`] does.
    pub fn sensor(&self, name: &str, key: &str) -> (u32, u32) {
        let spot = self.spot(&["sensor", name, key]);
        (spot.line, spot.column)
    }

    /// Where the step or handler at `path` of [`millstream_model::FileManifest::programs`] is
    /// declared, as [`Places::job`] does.
    pub fn program(&self, path: &[String]) -> (u32, u32) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let spot = self.spot(&path);
        (spot.line, spot.column)
    }

    /// Where `path` stands, or the nearest thing around it, or the file as a whole.
    pub(crate) fn spot(&self, path: &[&str]) -> Spot {
        let mut path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        while !path.is_empty() {
            if let Some(spot) = self.0.get(&path) {
                return *spot;
            }
            path.pop();
        }
        Spot::FILE
    }
}
