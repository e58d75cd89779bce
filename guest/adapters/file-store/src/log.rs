//! One log: records with checksums, one after the other.
//!
//! A record: [`MAGIC`], its kind, its number in the file, the length and the checksum of what
//! follows, and the checksum of all that and the file's own number. Every append is one record, and
//! on the disk before it returns: so only the last one can be torn.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom, Write as _};

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use crate::store::{CALL_BYTES_MAX, ITEMS_MAX, Write};

/// What this code writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = FORMAT_BYTE as u32;

const FORMAT_BYTE: u8 = 1;
const MAGIC: [u8; 4] = [b'C', b'S', 0xD6, FORMAT_BYTE];
const HEAD_BYTES: usize = 24;
const HEAD_BYTES_U64: u64 = 24;
/// Bytes around a key and its value.
const CHANGE_BYTES: usize = 7;
const PAYLOAD_BYTES_MAX: usize = CALL_BYTES_MAX + ITEMS_MAX * CHANGE_BYTES + 64;

const BEGIN: u8 = 1;
const COMMIT: u8 = 2;
const RENEW: u8 = 3;
const RELEASE: u8 = 4;

const SET: u8 = 1;
const DELETE: u8 = 0;

/// The end of a claim: from here on, the file counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begin {
    /// [`FORMAT`] when it was written.
    pub(crate) format: u32,
    /// Whose folder this is; `None` while no one has said.
    pub(crate) tenant: Option<String>,
    /// Who writes, for messages.
    pub(crate) holder: String,
    /// Until when it counts as alive.
    pub(crate) until_ms: u64,
    /// Where it goes on; `None`: everything stands before this record.
    pub(crate) base: Option<Base>,
}

/// A part of an earlier log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    /// Its number.
    pub(crate) epoch: u64,
    /// Its first bytes.
    pub(crate) bytes: u64,
}

/// One change of a record, and where its value stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) value: Option<Span>,
}

/// A piece of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
}

/// What a log holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// `None`: a claim that was not finished, or not yet.
    pub(crate) begin: Option<Begin>,
    /// In their order.
    pub(crate) changes: Vec<Change>,
    /// Until when its writer counts as alive; 0 once it gave its right back.
    pub(crate) until_ms: u64,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// The next record's number.
    pub(crate) number: u32,
}

/// Why a log cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Io(io::Error),
    /// What is not whole at this byte was whole once.
    Damaged(u64),
    /// Written by a newer version.
    Newer(u32),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a log: its first bytes that a later one goes on from, or all that is whole of the last.
pub(crate) fn read(
    mut file: &File,
    epoch: u64,
    first_bytes: Option<u64>,
) -> Result<Held, Unreadable> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    if let [b'C', b'S', 0xD6, version, ..] = reader.fill_buf()?
        && *version > FORMAT_BYTE
    {
        return Err(Unreadable::Newer(u32::from(*version)));
    }
    let mut held = Held::default();
    let mut payload = Vec::new();
    while first_bytes.is_none_or(|bytes| held.end < bytes) {
        let Some((kind, bytes)) = next(&mut reader, epoch, held.number, &mut payload)? else {
            break;
        };
        let offset = held.end + HEAD_BYTES_U64;
        take(&mut held, kind, &payload, offset).ok_or(Unreadable::Damaged(held.end))?;
        if let Some(begin) = &held.begin
            && begin.format > FORMAT
        {
            return Err(Unreadable::Newer(begin.format));
        }
        held.end += bytes;
        held.number += 1;
    }
    drop(reader);
    let is_whole = match first_bytes {
        Some(bytes) => held.end == bytes,
        None => !has_record_behind(file, epoch, held.end)?,
    };
    if is_whole {
        Ok(held)
    } else {
        Err(Unreadable::Damaged(held.end))
    }
}

/// The next record's kind and length; `None` where no whole one follows.
fn next(
    reader: &mut impl Read,
    epoch: u64,
    number: u32,
    payload: &mut Vec<u8>,
) -> io::Result<Option<(u8, u64)>> {
    let mut head = [0; HEAD_BYTES];
    if !fill(reader, &mut head)? {
        return Ok(None);
    }
    let Some(head) = Head::read(&head, epoch) else {
        return Ok(None);
    };
    payload.resize(head.bytes, 0);
    let is_whole = head.number == number
        && fill(reader, payload)?
        && crc32fast::hash(payload) == head.payload_sum;
    let bytes = HEAD_BYTES_U64 + u64::try_from(head.bytes).unwrap_or(u64::MAX);
    Ok(is_whole.then_some((head.kind, bytes)))
}

/// Whether there was so much to read.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

struct Head {
    kind: u8,
    number: u32,
    bytes: usize,
    payload_sum: u32,
}

impl Head {
    fn read(head: &[u8; HEAD_BYTES], epoch: u64) -> Option<Self> {
        let (summed, sum) = head.split_last_chunk::<4>()?;
        let (magic, rest) = summed.split_first_chunk::<4>()?;
        if *magic != MAGIC || head_sum(summed, epoch) != u32::from_le_bytes(*sum) {
            return None;
        }
        let mut rest = Cursor(rest);
        let kind = rest.byte()?;
        let [_, _, _] = rest.take_array::<3>()?;
        let number = rest.number()?;
        let bytes = usize::try_from(rest.number()?).ok()?;
        (bytes <= PAYLOAD_BYTES_MAX).then_some(())?;
        Some(Self {
            kind,
            number,
            bytes,
            payload_sum: rest.number()?,
        })
    }
}

fn head_sum(summed: &[u8], epoch: u64) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(summed);
    hasher.update(&epoch.to_le_bytes());
    hasher.finalize()
}

fn take(held: &mut Held, kind: u8, payload: &[u8], offset: u64) -> Option<()> {
    match kind {
        BEGIN => {
            let begin: Begin = serde_json::from_slice(payload).ok()?;
            held.until_ms = begin.until_ms;
            held.begin = Some(begin);
        }
        COMMIT => take_changes(held, payload, offset)?,
        RENEW => held.until_ms = u64::from_le_bytes(payload.try_into().ok()?),
        RELEASE => held.until_ms = 0,
        _ => return None,
    }
    Some(())
}

fn take_changes(held: &mut Held, payload: &[u8], offset: u64) -> Option<()> {
    let mut rest = Cursor(payload);
    while !rest.0.is_empty() {
        let kind = rest.byte()?;
        let key_bytes = usize::from(u16::from_le_bytes(rest.take_array()?));
        let value_bytes = rest.number()?;
        let key = String::from_utf8(rest.take(key_bytes)?.to_vec()).ok()?;
        let before = payload.len() - rest.0.len();
        rest.take(usize::try_from(value_bytes).ok()?)?;
        let value = (kind == SET).then_some(Span {
            offset: offset + u64::try_from(before).ok()?,
            bytes: value_bytes,
        });
        held.changes.push(Change { key, value });
    }
    Some(())
}

/// Whether a whole record stands anywhere behind one that is not: then that one was whole once. A
/// torn one is the last.
fn has_record_behind(mut file: &File, epoch: u64, end: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(end))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    let mut windows = rest.windows(HEAD_BYTES).enumerate().skip(1);
    Ok(windows.any(|(at, window)| {
        let head = <&[u8; HEAD_BYTES]>::try_from(window).ok();
        let Some(head) = head.and_then(|head| Head::read(head, epoch)) else {
            return false;
        };
        let payload = rest.get(at + HEAD_BYTES..at + HEAD_BYTES + head.bytes);
        payload.is_some_and(|payload| crc32fast::hash(payload) == head.payload_sum)
    }))
}

/// The end of a log, for whoever writes it.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) epoch: u64,
    pub(crate) end: u64,
    number: u32,
    /// An append failed and could not be undone.
    is_broken: bool,
}

impl Tail {
    /// The beginning of an empty file.
    pub(crate) fn of_empty(epoch: u64) -> Self {
        Self {
            epoch,
            end: 0,
            number: 0,
            is_broken: false,
        }
    }

    pub(crate) fn begin(&mut self, file: &File, begin: &Begin) -> io::Result<()> {
        let payload = serde_json::to_vec(begin)?;
        self.append(file, BEGIN, &payload).map(drop)
    }

    /// Returns where the values stand, in the order of the writes.
    pub(crate) fn commit(
        &mut self,
        file: &File,
        writes: &[Write],
    ) -> io::Result<Vec<Option<Span>>> {
        let mut payload = Vec::new();
        let mut spans = Vec::with_capacity(writes.len());
        for write in writes {
            spans.push(encode(&mut payload, write)?);
        }
        let offset = self.append(file, COMMIT, &payload)?;
        for span in spans.iter_mut().flatten() {
            span.offset += offset;
        }
        Ok(spans)
    }

    pub(crate) fn renew(&mut self, file: &File, until_ms: u64) -> io::Result<()> {
        self.append(file, RENEW, &until_ms.to_le_bytes()).map(drop)
    }

    pub(crate) fn release(&mut self, file: &File) -> io::Result<()> {
        self.append(file, RELEASE, &[]).map(drop)
    }

    /// One record, on the disk when it returns. Returns where its payload stands.
    fn append(&mut self, mut file: &File, kind: u8, payload: &[u8]) -> io::Result<u64> {
        if self.is_broken {
            return Err(io::Error::other("an earlier record is not whole"));
        }
        let mut record = Vec::with_capacity(HEAD_BYTES + payload.len());
        record.extend(MAGIC);
        record.extend([kind, 0, 0, 0]);
        record.extend(self.number.to_le_bytes());
        let bytes = u32::try_from(payload.len()).map_err(io::Error::other)?;
        record.extend(bytes.to_le_bytes());
        record.extend(crc32fast::hash(payload).to_le_bytes());
        let sum = head_sum(&record, self.epoch);
        record.extend(sum.to_le_bytes());
        record.extend(payload);
        file.seek(SeekFrom::Start(self.end))?;
        if let Err(error) = file.write_all(&record).and_then(|()| file.sync_all()) {
            // Nothing may follow a record that is not whole.
            self.is_broken = file.set_len(self.end).is_err();
            return Err(error);
        }
        let offset = self.end + HEAD_BYTES_U64;
        self.end = offset + u64::from(bytes);
        self.number += 1;
        Ok(offset)
    }
}

/// Returns where the value stands in the payload.
fn encode(payload: &mut Vec<u8>, write: &Write) -> io::Result<Option<Span>> {
    let (kind, key, value) = match write {
        Write::Set(key, value) => (SET, key, value.as_slice()),
        Write::Delete(key) => (DELETE, key, [].as_slice()),
    };
    let value_bytes = u32::try_from(value.len()).map_err(io::Error::other)?;
    payload.push(kind);
    payload.extend(
        u16::try_from(key.len())
            .map_err(io::Error::other)?
            .to_le_bytes(),
    );
    payload.extend(value_bytes.to_le_bytes());
    payload.extend(key.as_bytes());
    let offset = u64::try_from(payload.len()).map_err(io::Error::other)?;
    payload.extend(value);
    Ok((kind == SET).then_some(Span {
        offset,
        bytes: value_bytes,
    }))
}

/// What is left to decode.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn take_array<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        self.take(BYTES)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        let [byte] = self.take_array()?;
        Some(byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.take_array().map(u32::from_le_bytes)
    }
}
