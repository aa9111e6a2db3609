//! The vendored files that pages refer to: one stylesheet, a few ES modules, the glyphs.
//!
//! The router serves them under `/static/<hash>/…`, where the hash covers all of them, so that an
//! answer may be cached for ever and modules can import each other by relative names. Nothing is
//! read from disk: the binary carries the bytes.

use std::sync::LazyLock;

use millstream_model::ContentHash;

/// One file with its type.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// The name in its URL.
    pub name: &'static str,
    /// The content type it is served with.
    pub content_type: &'static str,
    /// Its bytes, which are text in UTF-8.
    pub text: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Every vendored file.
pub const ALL: &[Asset] = &[
    Asset {
        name: "style.css",
        content_type: CSS,
        text: concat!(
            include_str!("../assets/css/tokens.css"),
            include_str!("../assets/css/frame.css"),
            include_str!("../assets/css/parts.css"),
            include_str!("../assets/css/pages.css"),
        ),
    },
    Asset { name: "app.js", content_type: JS, text: include_str!("../assets/js/app.js") },
    Asset { name: "live.js", content_type: JS, text: include_str!("../assets/js/live.js") },
    Asset { name: "morph.js", content_type: JS, text: include_str!("../assets/js/morph.js") },
    Asset { name: "log.js", content_type: JS, text: include_str!("../assets/js/log.js") },
    Asset { name: "sprite.svg", content_type: SVG, text: include_str!("../assets/sprite.svg") },
    Asset { name: "icon.svg", content_type: SVG, text: include_str!("../assets/icon.svg") },
];

/// The hash over all files; it changes when any of them does.
pub static HASH: LazyLock<String> = LazyLock::new(|| {
    let all: String = ALL.iter().map(|asset| asset.text).collect();
    ContentHash::of(all.as_bytes()).short().to_owned()
});

/// The address of the file called `name`.
pub fn url(name: &str) -> String {
    format!("/static/{}/{name}", *HASH)
}

/// The file called `name`, when `hash` is that of this build.
pub fn find(hash: &str, name: &str) -> Option<&'static Asset> {
    if hash != *HASH {
        return None;
    }
    ALL.iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_import_only_files_that_are_served() {
        for asset in ALL.iter().filter(|asset| asset.content_type == JS) {
            for line in asset.text.lines().filter(|line| line.starts_with("import ")) {
                let name = line.split('"').nth(1).unwrap().trim_start_matches("./");
                assert!(find(&HASH, name).is_some(), "{} imports {name}", asset.name);
            }
        }
    }

    #[test]
    fn all_vendored_files_together_stay_small() {
        let bytes: usize = ALL.iter().map(|asset| asset.text.len()).sum();
        assert!(
            bytes < 60_000,
            "{bytes} bytes of assets; a page may weigh 150 kB with all of them"
        );
    }
}
