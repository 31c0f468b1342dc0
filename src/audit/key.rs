//! The key under which entries are hashed, kept away from the store.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

use super::AuditError;

/// Fewest bytes of a key: what HMAC-SHA256 makes use of.
const MIN_BYTES: usize = 32;
/// Most bytes that are read: a key file that is larger is some other file.
const MAX_BYTES: u64 = 64 * 1024;

/// The key of `[audit] key_file`. Never printed, wiped from memory when it is dropped.
#[derive(Clone, Debug)]
pub struct AuditKey {
    bytes: SecretSlice<u8>,
    file: PathBuf,
}

impl AuditKey {
    /// Reads the key from its file. Its bytes are the key just as they are, a newline at the end
    /// included, so that a key is what `sha256sum` and `openssl` see in the file too.
    ///
    /// # Errors
    /// The file cannot be read, is shorter than 32 bytes, larger than 64 KiB, or can be read by
    /// everybody on the machine.
    pub fn read(file: &Path) -> Result<Self, AuditError> {
        let unreadable = |source| AuditError::KeyUnreadable {
            file: file.to_owned(),
            source,
        };
        let opened = File::open(file).map_err(unreadable)?;
        let mode = opened.metadata().map_err(unreadable)?.mode();
        // Group access is how Kubernetes and systemd hand secrets to a service.
        if mode & 0o007 != 0 {
            return Err(AuditError::KeyExposed {
                file: file.to_owned(),
                mode: mode & 0o777,
            });
        }
        let mut bytes = Vec::new();
        opened
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let length = bytes.len();
        let key = Self {
            bytes: bytes.into(),
            file: file.to_owned(),
        };
        if length < MIN_BYTES || u64::try_from(length).is_ok_and(|length| length > MAX_BYTES) {
            return Err(AuditError::KeyLength {
                file: file.to_owned(),
                length,
            });
        }
        Ok(key)
    }

    /// The file the key came from, for messages.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// HMAC-SHA256 over the parts, one after the other, in lower-case hex.
    pub(super) fn authenticate(&self, parts: [&[u8]; 2]) -> String {
        let mut mac = match Hmac::<Sha256>::new_from_slice(self.bytes.expose_secret()) {
            Ok(mac) => mac,
            Err(never) => unreachable!("HMAC takes keys of any length: {never}"),
        };
        for part in parts {
            mac.update(part);
        }
        hex::encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn read(bytes: &[u8], mode: u32) -> Result<AuditKey, AuditError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        std::fs::write(&file, bytes).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        AuditKey::read(&file)
    }

    #[test]
    fn a_key_has_at_least_32_bytes() {
        assert!(matches!(
            read(&[1; 31], 0o600),
            Err(AuditError::KeyLength { length: 31, .. })
        ));
        assert!(read(&[1; 32], 0o600).is_ok());
        assert!(matches!(
            read(&vec![1; 65537], 0o600),
            Err(AuditError::KeyLength { .. })
        ));
    }

    #[test]
    fn a_key_that_everybody_can_read_is_refused_and_one_for_a_group_is_not() {
        assert!(matches!(
            read(&[1; 32], 0o604),
            Err(AuditError::KeyExposed { .. })
        ));
        assert!(read(&[1; 32], 0o440).is_ok());
    }

    #[test]
    fn a_newline_at_the_end_is_part_of_the_key() {
        let plain = read(&[b'k'; 32], 0o600).unwrap();
        let mut bytes = vec![b'k'; 32];
        bytes.push(b'\n');
        let with_newline = read(&bytes, 0o600).unwrap();
        assert_ne!(
            plain.authenticate([b"a", b"b"]),
            with_newline.authenticate([b"a", b"b"])
        );
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = read(b"CANARY-CANARY-CANARY-CANARY-CANARY", 0o600).unwrap();
        assert!(!format!("{key:?}").contains("CANARY"));
    }

    #[test]
    fn authentication_is_hmac_sha256_over_the_parts_joined() {
        // Expected: Python's hmac.new(b"k" * 32, b"abcdef", "sha256").
        let key = read(&[b'k'; 32], 0o600).unwrap();
        assert_eq!(
            key.authenticate([b"abc", b"def"]),
            key.authenticate([b"abcdef", b""]),
        );
        assert_eq!(key.authenticate([b"abc", b"def"]), EXPECTED);
    }

    const EXPECTED: &str = "5f8585372704085177f17babddf18ccd314c4e0edd2549fa972dcb1c0fe14fff";
}
