//! Where a pack goes: files gathered beside their final place, private to this user, and moved
//! there as a whole, as a directory or in one zip file.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chrono::{Datelike as _, Timelike as _};
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempDir};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::domain::time::Timestamp;

/// A file of the pack that is complete.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// Its path in the pack.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// SHA-256 in hex.
    pub(super) sha256: String,
}

/// A pack that is being gathered. Dropped before its end, it leaves nothing behind.
pub(super) struct Pack {
    output: PathBuf,
    is_zip: bool,
    gathered: TempDir,
    pub(super) made_at: Timestamp,
    pub(super) files: Vec<Written>,
}

/// A file that is being written.
pub(super) struct Open {
    name: String,
    file: BufWriter<File>,
    bytes: u64,
    digest: Sha256,
}

impl Pack {
    /// Begins a pack that goes to `output`.
    pub(super) fn begin(output: &Path, made_at: Timestamp) -> anyhow::Result<Self> {
        let is_zip = output
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
        if output.file_name().is_none() {
            bail!(
                "the pack cannot be written to {}: name a directory or a file that ends in .zip",
                output.display()
            );
        }
        if is_taken(output, is_zip).with_context(|| {
            format!(
                "the place of the pack, {}, cannot be read",
                output.display()
            )
        })? {
            bail!(
                "the pack is not written: {} is there already; choose another place with --output",
                output.display()
            );
        }
        let gathered = tempfile::Builder::new()
            .prefix(".rolecall-pack-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent(output))
            .with_context(|| format!("the pack cannot be written to {}", output.display()))?;
        Ok(Self {
            output: output.to_owned(),
            is_zip,
            gathered,
            made_at,
            files: Vec::new(),
        })
    }

    /// Opens a file of the pack; [`Pack::close`] ends it. A name has `/` between its parts.
    pub(super) fn open(&self, name: &str) -> anyhow::Result<Open> {
        let path = self.gathered.path().join(name);
        let opened = || -> io::Result<File> {
            if let Some(folder) = path.parent() {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)?;
            }
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
        };
        Ok(Open {
            name: name.to_owned(),
            file: BufWriter::new(opened().with_context(|| self.cannot_write(name))?),
            bytes: 0,
            digest: Sha256::new(),
        })
    }

    /// Ends a file.
    pub(super) fn close(&mut self, open: Open) -> anyhow::Result<()> {
        let cannot_write = self.cannot_write(&open.name);
        open.file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .context(cannot_write)?;
        self.files.push(Written {
            name: open.name,
            bytes: open.bytes,
            sha256: hex::encode(open.digest.finalize()),
        });
        Ok(())
    }

    /// Writes a whole file.
    pub(super) fn write(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let mut open = self.open(name)?;
        open.write_all(text.as_bytes())
            .with_context(|| self.cannot_write(name))?;
        self.close(open)
    }

    /// Adds the checksums and moves everything to its place.
    pub(super) fn finish(mut self) -> anyhow::Result<Vec<Written>> {
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        let sums: Vec<String> = self
            .files
            .iter()
            .map(|file| format!("{}  {}", file.sha256, file.name))
            .collect();
        self.write("SHA256SUMS", &(sums.join("\n") + "\n"))?;
        let moved = if self.is_zip {
            self.zip()
        } else {
            // An empty directory in its place is replaced; one that was filled meanwhile is not.
            fs::rename(self.gathered.path(), &self.output).map_err(anyhow::Error::from)
        };
        moved
            .and_then(|()| Ok(File::open(parent(&self.output))?.sync_all()?))
            .with_context(|| format!("the pack cannot be written to {}", self.output.display()))?;
        Ok(self.files)
    }

    fn zip(&self) -> anyhow::Result<()> {
        // A temporary file is created with mode 0600 and keeps it.
        let temporary = NamedTempFile::new_in(parent(&self.output))?;
        let folder = self
            .output
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let mut zip = ZipWriter::new(BufWriter::new(temporary));
        for file in &self.files {
            let options = SimpleFileOptions::default()
                .unix_permissions(0o600)
                .last_modified_time(dos_time(self.made_at))
                .large_file(file.bytes >= u64::from(u32::MAX));
            zip.start_file(format!("{folder}/{}", file.name), options)?;
            let mut from = File::open(self.gathered.path().join(&file.name))?;
            io::copy(&mut from, &mut zip)?;
        }
        let temporary = zip
            .finish()?
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        temporary.as_file().sync_all()?;
        temporary.persist_noclobber(&self.output)?;
        Ok(())
    }

    fn cannot_write(&self, name: &str) -> String {
        format!(
            "{name} of the pack cannot be written below {}",
            parent(&self.output).display()
        )
    }
}

impl Write for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.bytes += u64::try_from(written).unwrap_or(0);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The time as a zip file has it; its earliest one where it cannot have this one.
fn dos_time(at: Timestamp) -> zip::DateTime {
    let small = |number: u32| u8::try_from(number).unwrap_or_default();
    zip::DateTime::from_date_and_time(
        u16::try_from(at.year()).unwrap_or_default(),
        small(at.month()),
        small(at.day()),
        small(at.hour()),
        small(at.minute()),
        small(at.second()),
    )
    .unwrap_or_default()
}

/// Whether something is there that a pack must not replace.
fn is_taken(output: &Path, is_zip: bool) -> io::Result<bool> {
    match fs::symlink_metadata(output) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(found) if is_zip || !found.is_dir() => Ok(true),
        Ok(_) => Ok(fs::read_dir(output)?.next().is_some()),
    }
}

fn parent(output: &Path) -> &Path {
    match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
