//! Paths in the image of a system. Symbolic links are followed as in the running system: a link to
//! an absolute path does not lead out of the image.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use crate::manage::error::CommandError;

/// As many symbolic links as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// The absolute path of the image `root`, without symbolic links.
///
/// # Errors
/// There is no such directory.
pub(crate) fn open(root: &Path) -> Result<PathBuf, CommandError> {
    let failed = |error| CommandError::system(format!("--root: {}", root.display()), &error);
    let path = fs::canonicalize(root).map_err(failed)?;
    if path.is_dir() { Ok(path) } else { Err(failed(Errno::ENOTDIR.into())) }
}

/// The path on this machine of `path` in the image `root`, without symbolic links. Components that
/// do not exist are appended unchanged.
///
/// # Errors
/// `ELOOP`: more symbolic links than the kernel follows. The path would lead out of the image then,
/// because the kernel follows the next link on this machine.
pub(crate) fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut ahead: VecDeque<OsString> = steps(path);
    let mut place = PathBuf::new();
    let mut links = 0;
    while let Some(step) = ahead.pop_front() {
        if step == ".." {
            place.pop();
            continue;
        }
        let target = fs::read_link(root.join(&place).join(&step));
        match target {
            Ok(_) if links == LINKS_MAX => return Err(Errno::ELOOP.into()),
            Ok(target) => {
                links += 1;
                if target.is_absolute() {
                    place.clear();
                }
                let mut further = steps(&target);
                further.append(&mut ahead);
                ahead = further;
            }
            Err(_) => place.push(step),
        }
    }
    Ok(root.join(place))
}

fn steps(path: &Path) -> VecDeque<OsString> {
    let is_step = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_step).map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_in_the_image() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        fs::create_dir_all(root.join("real/deep")).unwrap();
        symlink("/real", root.join("absolute")).unwrap();
        symlink("../../../real/deep", root.join("real/up")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/etc", root.join("etc")).unwrap();
        assert!(resolve(root, Path::new("/etc/passwd")).is_err());
        assert!(open(&root.join("none")).is_err());
        for (path, place) in [
            ("/absolute/deep/x", "real/deep/x"),
            ("/real/up/y", "real/deep/y"),
            ("/../../usr", "usr"),
            ("/none/x", "none/x"),
            ("/", ""),
        ] {
            assert_eq!(resolve(root, Path::new(path)).unwrap(), root.join(place), "{path}");
        }
        assert!(resolve(root, Path::new("/loop/../x")).is_err());
    }
}
