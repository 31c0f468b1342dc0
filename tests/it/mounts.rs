//! File systems of a test's own. A test asks for [`Requirement::Mounts`] first.
//!
//! [`Requirement::Mounts`]: crate::requirements::Requirement::Mounts

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Mounted until it is dropped.
pub(crate) struct Mount {
    at: PathBuf,
}

impl Mount {
    /// A file system in memory of this size (`"256k"`).
    pub(crate) fn memory(at: &Path, size: &str) -> Self {
        let options = format!("size={size},mode=0700");
        Self::new(at, &["-t", "tmpfs", "-o", &options, "tmpfs"])
    }

    /// The file system in a file.
    pub(crate) fn image(at: &Path, image: &Path) -> Self {
        Self::new(at, &["-o", "loop", image.to_str().unwrap()])
    }

    fn new(at: &Path, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let mounted = quietly(Command::new("mount").args(arguments).arg(at));
        assert!(mounted, "cannot mount {arguments:?} at {}", at.display());
        Self { at: at.to_owned() }
    }

    /// Mounts it again with other options.
    pub(crate) fn change(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(quietly(
            Command::new("mount").args(["-o", &options]).arg(&self.at)
        ));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        quietly(Command::new("umount").arg("-l").arg(&self.at));
    }
}

/// Runs a command without its output; whether it succeeded.
pub(crate) fn quietly(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
