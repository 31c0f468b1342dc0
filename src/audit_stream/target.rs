//! The two places that entries are sent to.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tokio::net::UnixDatagram;

use crate::audit::{HashedEntry, LineFormat, too_large_message};
use crate::settings::StreamTarget;

/// Why an entry was not sent.
#[derive(Debug)]
pub(super) enum SendError {
    Io(io::Error),
    /// The entry is not what was written.
    Entry(u64),
}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Sends `entries` and returns when the target has them.
pub(super) async fn send(
    target: &StreamTarget,
    format: LineFormat,
    entries: &[HashedEntry],
) -> Result<(), SendError> {
    match target {
        StreamTarget::File(path) => {
            let mut text = String::new();
            for entry in entries {
                let line = format
                    .line(entry)
                    .map_err(|_| SendError::Entry(entry.seq))?;
                text.push_str(&line);
                text.push('\n');
            }
            let path = path.clone();
            tokio::task::spawn_blocking(move || append(path, &text))
                .await
                .map_err(io::Error::other)??;
            Ok(())
        }
        StreamTarget::Socket(path) => send_datagrams(path, format, entries).await,
    }
}

/// Appends to a file, which is made with mode 0600. When this returns, the lines survive a power
/// cut.
fn append(path: PathBuf, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        // A pipe without a reader would be waited for.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    if ends_torn(&mut file)? {
        file.write_all(b"\n")?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// Whether the last line has no end: an interrupted write, whose entry is sent again.
fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

async fn send_datagrams(
    path: &Path,
    format: LineFormat,
    entries: &[HashedEntry],
) -> Result<(), SendError> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    for entry in entries {
        let message = format
            .message(entry)
            .map_err(|_| SendError::Entry(entry.seq))?;
        match socket.send(message.as_bytes()).await {
            Ok(_) => {}
            // It would be so for ever: the target is told that the entry is there.
            Err(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {
                tracing::warn!(
                    entry = entry.seq,
                    "an entry is larger than a datagram: the target of audit.stream gets a notice in its place"
                );
                socket.send(too_large_message(entry).as_bytes()).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
