//! What the ways into mailboxes are derived from.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};

use super::ProxyError;

const BYTES: usize = 32;

/// 128 bits: nobody guesses them.
const ENTRANCE_BYTES: usize = 16;

/// One secret for a whole proxy. Each mailbox gets one of its own from it, and none tells another.
pub struct ProxySecret(SecretBox<[u8; BYTES]>);

impl ProxySecret {
    /// A secret that nobody has had before: the addresses are new.
    pub fn random() -> Result<Self, ProxyError> {
        let mut bytes = [0; BYTES];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut bytes)
            .map_err(|_| ProxyError::NoRandomness)?;
        Ok(Self(SecretBox::new(Box::new(bytes))))
    }

    /// The secret in a file, so that addresses stay as they are. Where there is no file, one is
    /// made that only its owner can read.
    pub fn from_file(path: &Path) -> Result<Self, ProxyError> {
        let failed = |error| ProxyError::SecretFile {
            path: path.to_owned(),
            error,
        };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = Self::random()?;
                secret.keep(path).map_err(failed)?;
                return Ok(secret);
            }
            read => read.map_err(failed)?,
        };
        let bytes = bytes(text.trim()).ok_or_else(|| ProxyError::NoSecret(path.to_owned()))?;
        Ok(Self(SecretBox::new(Box::new(bytes))))
    }

    /// The way into one mailbox. Ids hold no zero byte, so that no two of them read alike.
    pub(super) fn of(&self, tenant: &str, mailbox: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(self.0.expose_secret());
        digest.update(tenant);
        digest.update([0]);
        digest.update(mailbox);
        let digest = digest.finalize();
        hex(digest.iter().take(ENTRANCE_BYTES))
    }

    fn keep(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        writeln!(file, "{}", hex(self.0.expose_secret()))?;
        file.sync_all()
    }
}

/// Whether two texts are equal, in a time that depends on the length alone.
pub(super) fn is_equal(known: &str, shown: &str) -> bool {
    let different = |(one, other): (u8, u8)| one ^ other;
    let differences = known.bytes().zip(shown.bytes()).map(different);
    known.len() == shown.len() && differences.fold(0, |all, one| all | one) == 0
}

fn hex<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
    }
    text
}

fn bytes(hex: &str) -> Option<[u8; BYTES]> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| {
        let digits = str::from_utf8(pair).ok()?;
        let is_plain = digits.len() == 2 && !digits.contains('+');
        u8::from_str_radix(digits, 16).ok().filter(|_| is_plain)
    });
    pairs.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose entrance it is tells the secret alone; nobody's tells another's.
    #[test]
    fn every_mailbox_has_an_entrance_of_its_own() {
        let secret = ProxySecret::random().unwrap();
        let other = ProxySecret::random().unwrap();
        let entrances = [
            secret.of("a", "bc"),
            secret.of("ab", "c"),
            secret.of("a", "b"),
            other.of("a", "bc"),
        ];
        for (index, entrance) in entrances.iter().enumerate() {
            assert_eq!(entrance.len(), 2 * ENTRANCE_BYTES);
            let mut others = entrances.iter().skip(index + 1);
            assert!(others.all(|other| other != entrance));
        }
        assert_eq!(secret.of("a", "bc"), entrances[0]);
    }

    #[test]
    fn a_file_gives_the_same_entrances_again_to_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy-secret");
        let made = ProxySecret::from_file(&path).unwrap().of("a", "b");
        assert_eq!(ProxySecret::from_file(&path).unwrap().of("a", "b"), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        for wrong in [
            "",
            "abc",
            &"x".repeat(64),
            &"+1".repeat(32),
            &"0".repeat(66),
        ] {
            fs::write(&path, wrong).unwrap();
            let refused = ProxySecret::from_file(&path).err().unwrap();
            assert!(matches!(refused, ProxyError::NoSecret(_)), "{wrong}");
        }
        let nowhere = ProxySecret::from_file(&folder.path().join("no/such/folder"));
        assert!(matches!(nowhere, Err(ProxyError::SecretFile { .. })));
    }

    #[test]
    fn only_equal_texts_are_equal() {
        assert!(is_equal("abc", "abc"));
        for other in ["abd", "bbc", "ab", "abcd", ""] {
            assert!(!is_equal("abc", other), "{other}");
        }
    }
}
