//! What the decoders of sections share: the findings, the manifest that grows, and the places.

use millstream_model::FileManifest;

use crate::finding::Findings;
use crate::places::Places;

/// The reading of one file.
pub(crate) struct Reader {
    pub(crate) findings: Findings,
    pub(crate) manifest: FileManifest,
    pub(crate) places: Places,
}

impl Reader {
    /// Nothing read of `file` yet.
    pub(crate) fn new(file: &str) -> Self {
        Self {
            findings: Findings::new(file),
            manifest: FileManifest::default(),
            places: Places::default(),
        }
    }
}
