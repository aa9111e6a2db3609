//! Which version of a definition a tick belongs to, and whether a cursor outlives an edit.

use millstream_model::{ContentHash, SensorDef, SensorQuestion};

/// What a tick is stored against: it changes with the definition, so that an answer to an older
/// one is not stored.
pub fn version(def: &SensorDef) -> ContentHash {
    let about = match &def.question {
        SensorQuestion::Files(files) => format!("files {}", files.path),
        other => other.kind().to_owned(),
    };
    let memory = ContentHash::of(about.as_bytes()).to_string();
    // A definition holds only maps with text keys, so that it always has a JSON form.
    let whole = ContentHash::of(&serde_json::to_vec(def).unwrap_or_default());
    let memory: String = memory.chars().take(MEMORY_LENGTH).collect();
    ContentHash::from_stored(format!("{memory}{whole}"))
}

/// Whether a sensor that was edited from one version to another starts without its cursor: what it
/// asks is of another kind, so that the cursor means nothing to it.
pub fn forgets(old: &ContentHash, new: &ContentHash) -> bool {
    let memory = |version: &ContentHash| version.as_str().get(..MEMORY_LENGTH).map(str::to_owned);
    memory(old) != memory(new)
}

/// The first letters of a version, which say what a cursor belongs to.
const MEMORY_LENGTH: usize = 16;
