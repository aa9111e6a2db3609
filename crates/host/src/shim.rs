//! The Python side of the protocol, which is inside of this program.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use millstream_model::{ContentHasher, Isolation};

const FILES: [(&str, &str); 4] = [
    ("__init__.py", include_str!("../../../python/millstream/__init__.py")),
    ("_call.py", include_str!("../../../python/millstream/_call.py")),
    ("_host.py", include_str!("../../../python/millstream/_host.py")),
    ("_streams.py", include_str!("../../../python/millstream/_streams.py")),
];

/// What a process begins with. The package is a file and not an argument, so that Python compiles
/// it once and not for each process.
const BEGINNING: &str = "import sys; sys.path.insert(0, sys.argv.pop(1)); \
                         from millstream._host import main; del sys.path[0]; main()";

/// The package as it lies in a folder of the instance's state.
#[derive(Debug, Clone)]
pub struct Shim {
    folder: PathBuf,
}

impl Shim {
    /// Writes the package below `folder`, unless this version is there already.
    pub fn install(folder: &Path) -> io::Result<Self> {
        let mut hasher = ContentHasher::default();
        for (_, text) in FILES {
            hasher.update(text.as_bytes());
        }
        let folder = folder.join(format!("python-{}", hasher.finish().short()));
        if !folder.join("millstream").is_dir() {
            let package = folder.join(format!(".{}", std::process::id()));
            std::fs::create_dir_all(&package)?;
            for (name, text) in FILES {
                std::fs::write(package.join(name), text)?;
            }
            // Another process may have been faster, with the same content.
            if std::fs::rename(&package, folder.join("millstream")).is_err() {
                std::fs::remove_dir_all(&package)?;
            }
        }
        Ok(Self { folder })
    }

    /// The arguments of an interpreter that is to be a host of this isolation.
    pub fn arguments(&self, isolation: Isolation, more: &[&OsStr]) -> Vec<String> {
        let isolation = match isolation {
            Isolation::Fork => "fork",
            Isolation::Warm => "warm",
            Isolation::Process => "process",
        };
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let fixed = ["-I", "-c", BEGINNING].map(str::to_owned);
        let own = [text(self.folder.as_os_str()), isolation.to_owned()];
        fixed.into_iter().chain(own).chain(more.iter().map(|it| text(it))).collect()
    }
}
