//! Writes every page, from sample rows and in both palettes, with its assets into a folder:
//! `cargo run -p millstream-server --example gallery -- DIR`, then serve DIR with any file server.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool for looking at pages")]
#![expect(clippy::expect_used, reason = "a tool for looking at pages")]

#[path = "../tests/server/gallery.rs"]
mod gallery;
#[path = "../tests/server/samples.rs"]
mod samples;
#[path = "../tests/server/schedule_samples.rs"]
mod schedule_samples;

use std::fs;
use std::path::PathBuf;

use millstream_server::assets;
use millstream_server::frame::Theme;

fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).expect("usage: gallery DIR"));
    let vendored = dir.join("static").join(&*assets::HASH);
    fs::create_dir_all(&vendored).unwrap();
    for asset in assets::ALL {
        fs::write(vendored.join(asset.name), asset.text).unwrap();
    }
    for theme in [Theme::Light, Theme::Dark] {
        for (name, page) in gallery::all(theme) {
            let file = format!("{name}-{}.html", theme.as_str());
            fs::write(dir.join(file), page.text()).unwrap();
        }
    }
}
