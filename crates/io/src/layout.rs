//! Where a result lies below the folder of its IO manager:
//! `<tenant>/<asset key>/<partition, or _>.<extension>`.
//!
//! **Invariant.** Whatever the names hold, the path stays below the folder, and two addresses never
//! share a path: a name becomes one path part, and dots in asset keys are always escaped, so that
//! no folder of an asset `a/b.csv` stands where the file of `a` would.

use std::path::PathBuf;

use millstream_model::{AssetKey, ContentHash, PartitionKey, TenantId};

/// Whose result it is, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The tenant.
    pub tenant: TenantId,
    /// The asset.
    pub asset: AssetKey,
    /// The partition; `None` for an asset that is one whole.
    pub partition: Option<PartitionKey>,
}

/// The longest path part; file systems take 255 bytes, of which suffixes need some.
const PART_MAX: usize = 200;
/// What stays readable of a longer one.
const PART_KEPT: usize = 120;

/// The file name of an asset that is one whole; a partition called so is escaped.
const WHOLE: &str = "_";

impl Address {
    /// The command that makes the result.
    pub fn command(&self) -> String {
        let mut command =
            format!("millstream asset materialize {}", shell(&self.asset.to_string()));
        if let Some(key) = &self.partition {
            command.push_str(" --partition ");
            command.push_str(&shell(key.as_str()));
        }
        if self.tenant.as_str() != "default" {
            command.push_str(" --tenant ");
            command.push_str(self.tenant.as_str());
        }
        command
    }

    /// The path below the IO manager's folder.
    pub fn relative_path(&self, extension: &str) -> PathBuf {
        let mut path = PathBuf::from(part(self.tenant.as_str(), is_plain));
        for name in self.asset.parts() {
            path.push(part(name, |c| is_plain(c) && c != '.'));
        }
        let stem = match &self.partition {
            None => WHOLE.to_owned(),
            Some(key) if key.as_str() == WHOLE => escaped('_'),
            Some(key) => part(key.as_str(), is_plain),
        };
        path.push(format!("{stem}.{extension}"));
        path
    }
}

/// `word` as a shell reads it back.
fn shell(word: &str) -> String {
    let is_safe = |c: char| is_plain(c) || c == '/';
    if !word.is_empty() && word.chars().all(is_safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '=' | '@' | '+' | ',')
}

/// `name` as one path part: percent-encoded where it is not plain, a leading dot always.
fn part(name: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(name.len());
    for (index, c) in name.char_indices() {
        if is_kept(c) && !(index == 0 && c == '.') {
            text.push(c);
        } else {
            text.push_str(&escaped(c));
        }
    }
    if text.len() <= PART_MAX {
        return text;
    }
    // `~` is never kept, so a shortened part is no other name's.
    let hash = ContentHash::of(name.as_bytes());
    let kept = text.get(..PART_KEPT).unwrap_or("");
    format!("{kept}~{}", hash.as_str().get(..32).unwrap_or(""))
}

fn escaped(c: char) -> String {
    let mut bytes = [0; 4];
    let escapes = c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}"));
    escapes.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use super::*;

    fn path(asset: &[&str], partition: Option<&str>) -> String {
        let address = Address {
            tenant: "jfk".parse().unwrap(),
            asset: AssetKey::from_parts(asset.iter().map(|p| (*p).to_owned()).collect()).unwrap(),
            partition: partition.map(|key| key.parse().unwrap()),
        };
        let path = address.relative_path("csv");
        assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn r105_a_result_lies_in_the_folder_of_its_tenant_and_asset() {
        assert_eq!(path(&["sales", "orders"], None), "jfk/sales/orders/_.csv");
        assert_eq!(
            path(&["values"], Some("jfk::day::flights")),
            "jfk/values/jfk::day::flights.csv"
        );
    }

    #[test]
    fn r103_no_name_leaves_the_folder() {
        assert_eq!(path(&["a"], Some("../../etc/passwd")), "jfk/a/%2E.%2F..%2Fetc%2Fpasswd.csv");
        assert_eq!(path(&["a/../b"], Some("..")), "jfk/a%2F%2E%2E%2Fb/%2E..csv");
        assert_eq!(path(&["é"], Some("2013|ü")), "jfk/%C3%A9/2013%7C%C3%BC.csv");
    }

    #[test]
    fn different_addresses_have_different_paths() {
        assert_ne!(path(&["a"], None), path(&["a"], Some("_")));
        assert_ne!(path(&["a", "b.csv"], None), path(&["a"], Some("b")) + "/_.csv");
        let long = "x".repeat(400);
        let longer = "x".repeat(401);
        assert_ne!(path(&["a"], Some(&long)), path(&["a"], Some(&longer)));
        assert!(path(&["a"], Some(&long)).len() < 220);
    }
}
