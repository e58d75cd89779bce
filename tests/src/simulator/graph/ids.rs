//! Ids and change keys: opaque to clients, and of the form that Exchange gives them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// An id, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Id {
    /// A contact in its place; `placement` counts its moves, so that each move gives it another id.
    Placed {
        mailbox: u64,
        folder: u32,
        item: u64,
        placement: u32,
    },
    /// A contact, wherever it is.
    Immutable { mailbox: u64, item: u64 },
    /// A folder. Folders have one id only.
    Folder { mailbox: u64, folder: u32 },
}

/// `AAMk` is what ids of Exchange begin with, `AAkA` the immutable ones.
const PLACED: [u8; 3] = [0x00, 0x03, 0x24];
const IMMUTABLE: [u8; 3] = [0x00, 0x09, 0x00];
/// Sizes are such that the text ends with `=`, as real ids do and careless clients trip over.
const PADDING: [u8; 8] = [0; 8];

impl Id {
    pub(in crate::simulator) fn encode(self) -> String {
        let mut bytes = Vec::with_capacity(48);
        match self {
            Self::Placed {
                mailbox,
                folder,
                item,
                placement,
            } => {
                bytes.extend(PLACED);
                bytes.extend(PADDING);
                bytes.extend(mailbox.to_be_bytes());
                bytes.extend(folder.to_be_bytes());
                bytes.extend(item.to_be_bytes());
                bytes.extend(placement.to_be_bytes());
            }
            Self::Immutable { mailbox, item } => {
                bytes.extend(IMMUTABLE);
                bytes.extend(PADDING);
                bytes.extend(mailbox.to_be_bytes());
                bytes.extend(item.to_be_bytes());
                bytes.extend([0; 2]);
            }
            Self::Folder { mailbox, folder } => {
                bytes.extend(PLACED);
                bytes.extend(PADDING);
                bytes.extend(mailbox.to_be_bytes());
                bytes.extend(folder.to_be_bytes());
            }
        }
        URL_SAFE.encode(bytes)
    }

    /// `None` for what is no id at all.
    pub(in crate::simulator) fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE.decode(text).ok()?;
        let (kind, rest) = bytes.split_at_checked(3)?;
        let (_, rest) = rest.split_at_checked(PADDING.len())?;
        let (mailbox, rest) = rest.split_first_chunk::<8>()?;
        let mailbox = u64::from_be_bytes(*mailbox);
        let id = if kind == IMMUTABLE {
            let item = u64::from_be_bytes(*rest.first_chunk()?);
            Self::Immutable { mailbox, item }
        } else if kind == PLACED && rest.len() == 4 {
            let folder = u32::from_be_bytes(*rest.first_chunk()?);
            Self::Folder { mailbox, folder }
        } else if kind == PLACED {
            let (folder, rest) = rest.split_first_chunk::<4>()?;
            let (item, rest) = rest.split_first_chunk::<8>()?;
            Self::Placed {
                mailbox,
                folder: u32::from_be_bytes(*folder),
                item: u64::from_be_bytes(*item),
                placement: u32::from_be_bytes(*rest.first_chunk()?),
            }
        } else {
            return None;
        };
        (id.encode() == text).then_some(id)
    }
}

/// The change key of a contact's version: `EQAAABYAAAA…`.
pub(in crate::simulator) fn change_key(mailbox: u64, version: u64) -> String {
    let mut bytes = vec![0x11, 0, 0, 0, 0x16, 0, 0, 0];
    bytes.extend(mailbox.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    STANDARD.encode(bytes)
}
