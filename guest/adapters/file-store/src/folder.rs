//! The folder: which logs there are, and who may write.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::log::{self, Base, Begin, Change, FORMAT, Held, Span, Tail, Unreadable};
use crate::store::{CALL_BYTES_MAX, ITEMS_MAX, StoreError, Write};

/// So many logs at most are read for what the folder holds; then they are made into one.
const LOGS_MAX: usize = 16;
/// What may be out of date before the logs are made into one, beside as much as is not.
const GARBAGE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of one record of a log that is made from others.
const SNAPSHOT_RECORD_BYTES: usize = CALL_BYTES_MAX / 8;
/// How often a folder is read anew whose logs are written, or made into one, meanwhile.
const READS_MAX: usize = 20;

/// What to do where a folder cannot be read.
const UNREADABLE_REMEDY: &str = "give the run a folder that it may read and write: `wasmtime run \
                                 --dir FOLDER::/state`";
const DAMAGED_REMEDY: &str = "put a copy of the folder back; or move its `.log` files away: the \
                              next sync then finds the pairs anew and deletes nothing";

/// A folder that logs are kept in.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    bytes_max: u64,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The operating system refuses.
    #[error("`{path}` cannot be {action}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Read, written, …
        action: &'static str,
        /// Its reason.
        source: io::Error,
    },
    /// What was whole once is not any more.
    #[error("`{path}` is damaged at byte {byte}: what is remembered cannot be read")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        byte: u64,
    },
    /// Another version wrote it.
    #[error("`{path}` has format {format}; this version reads up to {FORMAT}")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// Nothing crosses tenants.
    #[error("the folder belongs to the tenant `{0}`")]
    Foreign(String),
}

impl FolderError {
    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Io { .. } => UNREADABLE_REMEDY,
            Self::Damaged { .. } => DAMAGED_REMEDY,
            Self::Newer { .. } => "run the newer version",
            Self::Foreign(_) => "give each tenant a folder of its own",
        }
    }

    fn at(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }
}

/// Who wants to write, and by what right.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whose folder it must be; `None` takes it as it is.
    pub tenant: Option<&'a str>,
    /// How the writer names itself to others.
    pub holder: &'a str,
    /// The time, in milliseconds since 1970-01-01T00:00Z.
    pub now_ms: u64,
    /// How long the writer counts as alive.
    pub ttl_ms: u64,
    /// Whether a writer that counts as alive is taken over.
    pub take_over: bool,
}

/// Whether the right to write was to be had.
#[derive(Debug)]
pub enum Acquired {
    /// It is ours.
    Writer(Box<Writer>),
    /// Another writer lives, as far as one can see.
    HeldBy {
        /// As it named itself; empty while that cannot be known.
        holder: String,
        /// When it counts as dead.
        ends_in_ms: u64,
    },
}

/// What a folder holds at one moment.
#[derive(Debug, Default)]
pub struct Reader {
    pub(crate) entries: BTreeMap<String, Place>,
    files: BTreeMap<u64, Arc<File>>,
    /// Keys and values.
    live_bytes: u64,
    /// All that is read to know them.
    log_bytes: u64,
    newest: Newest,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    epoch: u64,
    offset: u64,
    pub(crate) bytes: u32,
}

/// The last log that counts, and what lies behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Newest {
    /// 0: there is none.
    epoch: u64,
    end: u64,
    /// With a torn record, if there is one.
    file_bytes: u64,
    tenant: Option<String>,
    holder: String,
    until_ms: u64,
    /// The greatest number of any file.
    claimed: u64,
}

/// The right to write to a folder.
#[derive(Debug)]
pub struct Writer {
    folder: Folder,
    pub(crate) reader: Reader,
    /// Among the reader's, too.
    file: Arc<File>,
    tail: Tail,
    begin: Begin,
    until_ms: u64,
    is_released: bool,
}

impl Folder {
    /// The folder at this path, whose keys and values may be so many bytes.
    pub fn new(path: impl Into<PathBuf>, bytes_max: u64) -> Self {
        Self {
            path: path.into(),
            bytes_max,
        }
    }

    /// Looks: reads what is there, and leaves nothing behind.
    pub fn read(&self) -> Result<Reader, FolderError> {
        self.read_below(u64::MAX)
    }

    /// Takes the right to write, unless another writer lives.
    pub fn acquire(&self, wanted: Wanted<'_>) -> Result<Acquired, FolderError> {
        let seen = self.read()?;
        seen.check_tenant(wanted.tenant)?;
        let ends_in_ms = self.lives_for_ms(&seen.newest, wanted);
        if ends_in_ms > 0 && !wanted.take_over {
            return Ok(Acquired::HeldBy {
                holder: seen.newest.holder,
                ends_in_ms,
            });
        }
        let somebody_elses = Acquired::HeldBy {
            holder: String::new(),
            ends_in_ms: wanted.ttl_ms,
        };
        let epoch = seen.newest.claimed + 1;
        let Some(file) = self.claim(epoch)? else {
            return Ok(somebody_elses);
        };
        // Whatever the last writer was told to be durable was so before it was taken over.
        let had_logs = seen.newest.epoch > 0;
        let reader = if self.is_as(&seen.newest) {
            seen
        } else {
            self.read_below(epoch)?
        };
        if had_logs && reader.newest.epoch == 0 {
            // They were made into one of a greater number.
            return Ok(somebody_elses);
        }
        reader.check_tenant(wanted.tenant)?;
        let tenant = wanted.tenant.map(str::to_owned);
        let begin = Begin {
            format: FORMAT,
            tenant: tenant.or(reader.newest.tenant.clone()),
            holder: wanted.holder.to_owned(),
            until_ms: wanted.now_ms.saturating_add(wanted.ttl_ms),
            base: None,
        };
        let is_compact = reader.files.len() >= LOGS_MAX || reader.is_wasteful();
        Writer::begun(self.clone(), reader, file, epoch, begin, is_compact)
            .map(|writer| Acquired::Writer(Box::new(writer)))
    }

    /// The file of this number, if nobody has it, and if it is the greatest: whoever slept between
    /// reading and claiming may find a number free again that others have used and removed.
    fn claim(&self, epoch: u64) -> Result<Option<File>, FolderError> {
        let path = self.log(epoch);
        let created = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        match created {
            Ok(file) => {
                let is_greatest = self.epochs()?.last() == Some(&epoch);
                Ok(is_greatest.then_some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(FolderError::at(&path, "created")(error)),
        }
    }

    /// What the logs below a number hold.
    fn read_below(&self, limit: u64) -> Result<Reader, FolderError> {
        let mut reads = 1;
        loop {
            match self.read_once(limit) {
                // Logs were made into one between listing and reading; or one is really gone.
                Err(FolderError::Io { path, source, .. })
                    if source.kind() == io::ErrorKind::NotFound && path != self.path =>
                {
                    if reads == READS_MAX {
                        return Err(FolderError::Damaged { path, byte: 0 });
                    }
                    reads += 1;
                }
                // What is being written while it is read may look like that, but not for long.
                Err(FolderError::Damaged { .. }) if reads < READS_MAX => reads += 1,
                read => return read,
            }
        }
    }

    fn read_once(&self, limit: u64) -> Result<Reader, FolderError> {
        let epochs = self.epochs()?;
        let mut reader = Reader::default();
        reader.newest.claimed = epochs.last().copied().unwrap_or_default();
        for epoch in epochs.into_iter().rev().filter(|epoch| *epoch < limit) {
            // First how long it is, then what it holds: what its writer appends meanwhile shows in
            // the length, and is read again by whoever takes over.
            let path = self.log(epoch);
            let file_bytes = fs::metadata(&path)
                .map_err(FolderError::at(&path, "read"))?
                .len();
            let (file, held) = self.read_log(epoch, None)?;
            let Some(begin) = held.begin.clone() else {
                continue;
            };
            reader.newest = Newest {
                epoch,
                end: held.end,
                file_bytes,
                tenant: begin.tenant.clone(),
                holder: begin.holder.clone(),
                until_ms: held.until_ms,
                claimed: reader.newest.claimed,
            };
            self.read_chain(&mut reader, epoch, file, held)?;
            break;
        }
        Ok(reader)
    }

    fn read_chain(
        &self,
        reader: &mut Reader,
        epoch: u64,
        file: File,
        held: Held,
    ) -> Result<(), FolderError> {
        let mut base = held.begin.as_ref().and_then(|begin| begin.base);
        let mut chain = vec![(epoch, file, held)];
        while let Some(Base { epoch, bytes }) = base {
            let newest = chain.last().map_or(epoch, |(newest, ..)| *newest);
            let (file, held) = self.read_log(epoch, Some(bytes))?;
            let Some(begin) = held.begin.as_ref().filter(|_| epoch < newest) else {
                let path = self.log(epoch);
                return Err(FolderError::Damaged { path, byte: 0 });
            };
            base = begin.base;
            chain.push((epoch, file, held));
        }
        for (epoch, file, held) in chain.into_iter().rev() {
            reader.log_bytes += held.end;
            reader.files.insert(epoch, Arc::new(file));
            for Change { key, value } in held.changes {
                reader.set(key, epoch, value);
            }
        }
        Ok(())
    }

    fn read_log(&self, epoch: u64, first_bytes: Option<u64>) -> Result<(File, Held), FolderError> {
        let path = self.log(epoch);
        let file = File::open(&path).map_err(FolderError::at(&path, "opened"))?;
        match log::read(&file, epoch, first_bytes) {
            Ok(held) => Ok((file, held)),
            Err(Unreadable::Io(error)) => Err(FolderError::at(&path, "read")(error)),
            Err(Unreadable::Damaged(byte)) => Err(FolderError::Damaged { path, byte }),
            Err(Unreadable::Newer(format)) => Err(FolderError::Newer { path, format }),
        }
    }

    /// The numbers of all files, in order.
    fn epochs(&self) -> Result<Vec<u64>, FolderError> {
        let unreadable = || FolderError::at(&self.path, "read");
        let mut epochs = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(unreadable())? {
            let name = entry.map_err(unreadable())?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
            epochs.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// For how long a writer still counts as alive; 0: nobody writes.
    fn lives_for_ms(&self, newest: &Newest, wanted: Wanted<'_>) -> u64 {
        // A clock that was set back must not make anybody wait longer than a writer may be silent.
        let begun = newest
            .until_ms
            .saturating_sub(wanted.now_ms)
            .min(wanted.ttl_ms);
        let claim = if newest.claimed > newest.epoch {
            self.claim_lives_for_ms(newest.claimed, wanted)
        } else {
            0
        };
        begun.max(claim)
    }

    /// A file that was created, and not begun: by somebody who is about to, or who died of it.
    fn claim_lives_for_ms(&self, epoch: u64, wanted: Wanted<'_>) -> u64 {
        let changed = fs::metadata(self.log(epoch)).and_then(|file| file.modified());
        let since = changed
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let changed_ms = since.and_then(|since| u64::try_from(since.as_millis()).ok());
        let silent_ms = changed_ms.map_or(u64::MAX, |at| wanted.now_ms.abs_diff(at));
        wanted.ttl_ms.saturating_sub(silent_ms)
    }

    /// Whether nothing was written since, and nobody else claimed.
    fn is_as(&self, newest: &Newest) -> bool {
        let is_same_length = newest.epoch == 0
            || fs::metadata(self.log(newest.epoch))
                .is_ok_and(|file| file.len() == newest.file_bytes);
        is_same_length && newest.claimed == newest.epoch
    }

    fn log(&self, epoch: u64) -> PathBuf {
        self.path.join(format!("{epoch:08}.log"))
    }

    /// Files whose writers were taken over by one that needs none of them. In their order, so that
    /// a writer finds either the next number or its own file gone.
    fn remove_below(&self, epoch: u64) {
        for old in self.epochs().unwrap_or_default() {
            if old >= epoch || fs::remove_file(self.log(old)).is_err() {
                break;
            }
        }
    }

    /// Makes the name of a new file durable, where the system can do that: not every one opens a
    /// folder like a file.
    fn sync(&self) {
        if let Ok(folder) = File::open(&self.path) {
            _ = folder.sync_all();
        }
    }
}

impl Reader {
    /// Refuses whoever is not the one whose folder this is; `None` is nobody in particular.
    pub fn check_tenant(&self, tenant: Option<&str>) -> Result<(), FolderError> {
        match (&self.newest.tenant, tenant) {
            (Some(owner), Some(tenant)) if owner != tenant => {
                Err(FolderError::Foreign(owner.clone()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn value(&self, place: Place) -> io::Result<Vec<u8>> {
        let file = self.files.get(&place.epoch);
        let mut file = file.ok_or(io::ErrorKind::NotFound)?.as_ref();
        let mut value = vec![0; usize::try_from(place.bytes).map_err(io::Error::other)?];
        file.seek(SeekFrom::Start(place.offset))?;
        file.read_exact(&mut value)?;
        Ok(value)
    }

    fn set(&mut self, key: String, epoch: u64, value: Option<Span>) {
        let key_bytes = u64::try_from(key.len()).unwrap_or(u64::MAX);
        let old = match value {
            Some(Span { offset, bytes }) => {
                self.live_bytes += key_bytes + u64::from(bytes);
                let place = Place {
                    epoch,
                    offset,
                    bytes,
                };
                self.entries.insert(key, place)
            }
            None => self.entries.remove(&key),
        };
        if let Some(old) = old {
            self.live_bytes -= key_bytes + u64::from(old.bytes);
        }
    }

    fn bytes_after(&self, writes: &[Write]) -> u64 {
        let mut bytes = self.live_bytes;
        for write in writes {
            if let Some(old) = self.entries.get(write.key()) {
                bytes -= u64::try_from(write.key().len()).unwrap_or(u64::MAX);
                bytes -= u64::from(old.bytes);
            }
            if let Write::Set(..) = write {
                bytes += u64::try_from(write.bytes()).unwrap_or(u64::MAX);
            }
        }
        bytes
    }

    fn is_wasteful(&self) -> bool {
        let garbage_bytes = self.log_bytes.saturating_sub(self.live_bytes);
        garbage_bytes > self.live_bytes + GARBAGE_BYTES_MAX
    }
}

impl Writer {
    /// Begins a claimed file: with all that is remembered, or going on from where another ends.
    fn begun(
        folder: Folder,
        mut reader: Reader,
        file: File,
        epoch: u64,
        begin: Begin,
        is_compact: bool,
    ) -> Result<Self, FolderError> {
        let path = folder.log(epoch);
        let unwritable = || FolderError::at(&path, "written");
        let mut tail = Tail::of_empty(epoch);
        let base = (reader.newest.epoch > 0 && !is_compact).then_some(Base {
            epoch: reader.newest.epoch,
            bytes: reader.newest.end,
        });
        if is_compact {
            reader = snapshot(&reader, &file, &mut tail).map_err(unwritable())?;
        }
        let until_ms = begin.until_ms;
        let begin = Begin { base, ..begin };
        tail.begin(&file, &begin).map_err(unwritable())?;
        folder.sync();
        // Whoever has claimed the next number by now may go on from what was there before. Whoever
        // does later finds this file begun, and needs nothing else.
        if is_compact && fs::metadata(folder.log(epoch + 1)).is_err() {
            folder.remove_below(epoch);
        }
        let file = Arc::new(file);
        reader.files.insert(epoch, Arc::clone(&file));
        reader.log_bytes += tail.end;
        Ok(Self {
            folder,
            reader,
            file,
            tail,
            begin,
            until_ms,
            is_released: false,
        })
    }

    /// The fencing token.
    pub fn epoch(&self) -> u64 {
        self.tail.epoch
    }

    /// Until when this writer counts as alive.
    pub fn until_ms(&self) -> u64 {
        self.until_ms
    }

    /// Whether this writer goes on from exactly what a reading found.
    pub fn continues(&self, reader: &Reader) -> bool {
        (self.reader.newest.epoch, self.reader.newest.end)
            == (reader.newest.epoch, reader.newest.end)
    }

    /// Counts as alive until then.
    pub fn renew(&mut self, until_ms: u64) -> Result<(), StoreError> {
        self.check()?;
        let renewed = self.tail.renew(&self.file, until_ms);
        renewed.map_err(|_| StoreError::unavailable())?;
        self.until_ms = until_ms;
        self.check()
    }

    /// Gives the right back. One that was lost already is no error.
    pub fn release(&mut self) -> Result<(), StoreError> {
        if self.check() == Err(StoreError::LeaseLost) {
            return Ok(());
        }
        let released = self.tail.release(&self.file);
        self.is_released = true;
        released.map_err(|_| StoreError::unavailable())
    }

    /// Whether nobody has taken over. To be asked before an answer, and after a write.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let epoch = self.tail.epoch;
        let is_taken = |path: PathBuf| fs::metadata(path).is_ok();
        // First the next, then the own one: `remove_below` goes the other way.
        if self.is_released
            || is_taken(self.folder.log(epoch + 1))
            || !is_taken(self.folder.log(epoch))
        {
            return Err(StoreError::LeaseLost);
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.check()?;
        let bytes = self.reader.bytes_after(&writes);
        if bytes > self.folder.bytes_max && bytes > self.reader.live_bytes {
            return Err(StoreError::full(self.folder.bytes_max));
        }
        let before = self.tail.end;
        let spans = self.tail.commit(&self.file, &writes);
        let spans = spans.map_err(|_| StoreError::unavailable())?;
        // A run that took over before this was on the disk may have read without it.
        self.check()?;
        self.reader.log_bytes += self.tail.end - before;
        for (write, span) in writes.into_iter().zip(spans) {
            self.reader.set(write.into_key(), self.tail.epoch, span);
        }
        if self.reader.is_wasteful() {
            self.compact();
        }
        Ok(())
    }

    /// Goes on in a log that holds nothing out of date. Where that fails, this one goes on as it
    /// is, or has been taken over.
    fn compact(&mut self) {
        let epoch = self.tail.epoch + 1;
        let Ok(Some(file)) = self.folder.claim(epoch) else {
            return;
        };
        let mut reader = Reader {
            newest: Newest {
                epoch: self.tail.epoch,
                end: self.tail.end,
                ..self.reader.newest.clone()
            },
            ..Reader::default()
        };
        std::mem::swap(&mut reader, &mut self.reader);
        let begin = Begin {
            until_ms: self.until_ms,
            ..self.begin.clone()
        };
        match Self::begun(self.folder.clone(), reader, file, epoch, begin, true) {
            Ok(writer) => *self = writer,
            // The claim stands, and fences this writer: the next run goes on from here.
            Err(_) => self.is_released = true,
        }
    }
}

/// Writes all that is remembered.
fn snapshot(reader: &Reader, file: &File, tail: &mut Tail) -> io::Result<Reader> {
    let mut copy = Reader {
        newest: reader.newest.clone(),
        ..Reader::default()
    };
    let mut writes = Vec::new();
    let mut bytes = 0;
    for (key, place) in &reader.entries {
        let write = Write::Set(key.clone(), reader.value(*place)?);
        bytes += write.bytes();
        writes.push(write);
        if bytes >= SNAPSHOT_RECORD_BYTES || writes.len() == ITEMS_MAX {
            copy.append(std::mem::take(&mut writes), file, tail)?;
            bytes = 0;
        }
    }
    copy.append(writes, file, tail)?;
    Ok(copy)
}

impl Reader {
    fn append(&mut self, writes: Vec<Write>, file: &File, tail: &mut Tail) -> io::Result<()> {
        let spans = tail.commit(file, &writes)?;
        for (write, span) in writes.into_iter().zip(spans) {
            self.set(write.into_key(), tail.epoch, span);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody claimed the next number while a compaction wrote, and goes on from the logs before
    /// it: they stay, and the compaction's writer is told.
    #[test]
    fn an_overtaken_compaction_removes_nothing() {
        let place = tempfile::TempDir::new().unwrap();
        let folder = Folder::new(place.path(), u64::MAX);
        let wanted = Wanted {
            tenant: None,
            holder: "test",
            now_ms: 1,
            ttl_ms: 1,
            take_over: true,
        };
        let Acquired::Writer(mut first) = folder.acquire(wanted).unwrap() else {
            panic!("nobody else is here");
        };
        first.commit(vec![Write::Set("k".into(), vec![1])]).unwrap();
        let create = |epoch| {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create_new(true);
            options.open(folder.log(epoch)).unwrap()
        };
        let slow = create(2);
        let seen = folder.read().unwrap();
        drop(create(3));
        let begin = first.begin.clone();
        let overtaken = Writer::begun(folder.clone(), seen, slow, 2, begin, true);
        assert_eq!(overtaken.unwrap().check(), Err(StoreError::LeaseLost));
        assert!(folder.log(1).exists());
    }
}
