//! Follows a log and archives what its bindings have bound: every bound record, the bindings, and
//! the digests that live recorded.
//!
//! A reader beside the dataflow, with its own progress: the manifest. Exactly once across crashes:
//!
//! * files are written first, the manifest that names them last, created if absent under the next
//!   number; what a crash leaves between the two is removed at the next start;
//! * a start writes a manifest before it removes anything, so that an archiver that is still at
//!   work elsewhere loses the race for the next number, and leaves; whoever only rewrites files
//!   (compaction, erasure) makes nobody leave;
//! * a range is archived only if it has the count and the digest that were bound, so the archive
//!   never holds what live did not fold; a manifest holds whole epochs;
//! * what waits is bounded: nothing more is read while files cannot be written.
//!
//! Archived events that ask for an erasure are what is to be erased: [`Archiver::erase`] carries
//! out all of them, between two writes.
//!
//! It knows no clock and no thread: whoever drives it says when files are written.

mod error;
mod files;

use std::collections::VecDeque;
use std::sync::Arc;

use eddyline_connect::crash_point;
use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_connect::objects::{ObjectInfo, ObjectStore};
use eddyline_schemas::binding::{Accepted, Binding, BindingFold, BoundRange};
use eddyline_schemas::codec::decode_binding;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Offset, RangeDigest, Record};
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::archive::{
    self, ArchiveError, ArchivedRow, Catalogue, Erased, HashCheck, Nonce, Since, erase, read_rows,
    requests,
};
use files::{Files, Pending};

pub use error::ArchiverError;

const BINDINGS: TopicPartition = TopicPartition { topic: Topic::Bindings, partition: 0 };
const DIGESTS: TopicPartition = TopicPartition { topic: Topic::Digests, partition: 0 };
const READ: ReadLimit = ReadLimit { records: 4_096, bytes: 8 << 20 };

/// How often a write that loses the race against somebody who rewrites files tries again.
const TRIES: usize = 8;

/// How often a start that loses the race for its first manifest tries again.
const CLAIMS: usize = 8;

/// How much waits in memory before files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiverLimits {
    /// Records.
    pub rows: u64,
    /// Bytes of keys, values and headers.
    pub bytes: u64,
}

impl Default for ArchiverLimits {
    fn default() -> Self {
        Self { rows: 250_000, bytes: 128 << 20 }
    }
}

/// See the module doc.
pub struct Archiver {
    log: Arc<dyn EventLog>,
    objects: Arc<dyn ObjectStore>,
    limits: ArchiverLimits,
    catalogue: Catalogue,
    fold: BindingFold,
    /// Of the bindings topic: read, not folded yet.
    read: VecDeque<(Offset, Record)>,
    read_to: Offset,
    next_binding: Offset,
    next_digest: Offset,
    waiting: Files,
    /// Files that are on their way, to be tried again until they are there.
    pending: Option<Pending>,
    /// Of an erasure that has begun and is not over.
    erasing: Option<Nonce>,
}

impl Archiver {
    /// Goes on where the archive in `objects` ends, and removes what a crash left behind that end.
    pub fn open(
        log: Arc<dyn EventLog>,
        objects: Arc<dyn ObjectStore>,
        limits: ArchiverLimits,
    ) -> Result<Self, ArchiverError> {
        let (mut catalogue, listed) = claim(&*log, &*objects)?;
        catalogue.delete_unnamed(&*objects, listed)?;
        let fold = fold_of(&mut catalogue, &*objects)?;
        let next = |partition| catalogue.position(partition).map_or(0, |position| position.next);
        let (next_binding, next_digest) = (next(BINDINGS), next(DIGESTS));
        Ok(Self {
            log,
            objects,
            limits,
            fold,
            read: VecDeque::new(),
            read_to: next_binding,
            next_binding,
            next_digest,
            waiting: Files::behind(&catalogue),
            catalogue,
            pending: None,
            erasing: None,
        })
    }

    /// The last epoch that is archived.
    #[must_use]
    pub fn archived(&self) -> Epoch {
        self.catalogue.epoch()
    }

    /// Whether so much waits that files must be written before more is read.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let is_much =
            self.waiting.rows() >= self.limits.rows || self.waiting.bytes() >= self.limits.bytes;
        self.pending.is_some() || is_much
    }

    /// Whether anything waits for [`Self::write`].
    #[must_use]
    pub fn waits(&self) -> bool {
        self.pending.is_some() || self.waiting.rows() > 0
    }

    /// Whether digests were recorded since the last write. They come behind the bindings, so the last
    /// ones would wait for the next record; those of another lineage come later still.
    pub fn lacks_digests(&self) -> Result<bool, ArchiverError> {
        Ok(self.next_digest < self.log.end_offset(DIGESTS)?)
    }

    /// Reads on by one record of the bindings, and what it bound; false at their end. After an
    /// error that may pass it can be called again.
    pub fn read_on(&mut self) -> Result<bool, ArchiverError> {
        let Some((offset, record)) = self.next_record()? else { return Ok(false) };
        let invalid = |source| ArchiverError::InvalidBinding { offset, source };
        let decoded = decode_binding(&record.value).map_err(invalid)?;
        let mut fold = self.fold.clone();
        // The rows of an epoch come with its binding, or not at all. What is void changes nothing.
        if let Ok(Accepted::Binding(binding)) = fold.step(decoded, &record.value)? {
            for (range, rows) in self.read_bound(&binding)? {
                self.waiting.push(range.partition, rows)?;
            }
        }
        self.fold = fold;
        self.read.pop_front();
        self.next_binding = offset + 1;
        let row = ArchivedRow::new(offset, self.fold.epoch(), record);
        self.waiting.push(BINDINGS, vec![row])?;
        Ok(true)
    }

    /// Writes all that waits, and the manifest that makes it count. After an error that may pass it
    /// can be called again.
    pub fn write(&mut self) -> Result<(), ArchiverError> {
        if self.pending.is_none() {
            self.read_digests()?;
            let next = [(BINDINGS, self.next_binding), (DIGESTS, self.next_digest)];
            let topics = files::advances(&*self.log, &self.fold, &next);
            let epoch = self.fold.epoch();
            self.pending = Some(self.waiting.finish(epoch, topics)?);
        }
        let Some(pending) = &self.pending else { return Ok(()) };
        for file in &pending.files {
            crash_point!("archive-put");
            self.objects
                .put_if_absent(&file.name, file.bytes.clone())
                .map_err(ArchiveError::from)?;
            crash_point!("archive-file");
        }
        crash_point!("archive-commit");
        let (change, nonce) = (pending.change.clone(), pending.nonce);
        for _ in 0..TRIES {
            match self.catalogue.commit(&*self.objects, change.clone(), nonce) {
                Ok(()) => {
                    crash_point!("archive-committed");
                    self.pending = None;
                    return Ok(());
                }
                Err(superseded @ ArchiveError::Superseded { .. }) => self.reload(superseded)?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(self.superseded())
    }

    /// What is archived.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Whether an event that asks for an erasure waits for [`Self::write`].
    #[must_use]
    pub fn request_waits(&self) -> bool {
        let of_pending = |pending: &Pending| pending.change.added.iter().any(|of| of.requests > 0);
        self.waiting.requests() > 0 || self.pending.as_ref().is_some_and(of_pending)
    }

    /// Whether there is something for [`Self::erase`].
    #[must_use]
    pub fn is_asked_to_erase(&self) -> bool {
        // What is being written comes first: its manifest may be there already.
        self.pending.is_none() && (self.erasing.is_some() || self.catalogue.requests() > 0)
    }

    /// Carries out what archived events ask for. After an error that may pass it is to be called
    /// again, before anything else.
    pub fn erase(&mut self) -> Result<Erased, ArchiverError> {
        let fresh = || Nonce(eddyline_connect::random::bytes());
        let nonce = *self.erasing.get_or_insert_with(fresh);
        for _ in 0..TRIES {
            let subjects = requests(&*self.objects, &self.catalogue)?;
            match erase(&*self.objects, &mut self.catalogue, &subjects, nonce) {
                Ok(erased) => {
                    self.erasing = None;
                    return Ok(erased);
                }
                Err(superseded @ ArchiveError::Superseded { .. }) => self.reload(superseded)?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(self.superseded())
    }

    /// Takes over what others have rewritten; the error if they have done more than that.
    fn reload(&mut self, superseded: ArchiveError) -> Result<(), ArchiverError> {
        let Since { newest, is_claimed, is_advanced } = self.catalogue.since(&*self.objects)?;
        if is_claimed || is_advanced {
            let lost = self.pending.take().map_or_else(Vec::new, |pending| pending.change.added);
            newest.withdraw(&*self.objects, &lost)?;
            return Err(superseded.into());
        }
        tracing::info!(manifest = newest.number(), "files were rewritten: goes on");
        self.catalogue = newest;
        Ok(())
    }

    fn superseded(&self) -> ArchiverError {
        ArchiveError::Superseded { number: self.catalogue.number() + 1 }.into()
    }

    fn next_record(&mut self) -> Result<Option<(Offset, Record)>, ArchiverError> {
        if self.read.is_empty() {
            if self.read_to >= self.log.end_offset(BINDINGS)? {
                return Ok(None);
            }
            let batch = self.log.read(BINDINGS, self.read_to, READ)?;
            (self.read, self.read_to) = (batch.records.into(), batch.next);
        }
        Ok(self.read.front().cloned())
    }

    /// The rows of an epoch, range by range.
    fn read_bound<'b>(
        &self,
        binding: &'b Binding,
    ) -> Result<Vec<(&'b BoundRange, Vec<ArchivedRow>)>, ArchiverError> {
        let read = |range| Ok((range, self.read_range(binding.epoch, range)?));
        binding.ranges.iter().map(read).collect()
    }

    fn read_range(
        &self,
        epoch: Epoch,
        range: &BoundRange,
    ) -> Result<Vec<ArchivedRow>, ArchiverError> {
        let partition = range.partition;
        if self.log.topic_id(partition.topic) != range.topic_id {
            return Err(ArchiverError::OtherLog { topic: partition.topic });
        }
        let (mut rows, mut digest) = (Vec::new(), RangeDigest::default());
        let mut next = range.start;
        while next < range.end {
            let records = usize::try_from(range.end - next).unwrap_or(usize::MAX);
            let limit = ReadLimit { records: records.min(READ.records), ..READ };
            let batch = self.log.read(partition, next, limit)?;
            if batch.next == next {
                break;
            }
            let bound = batch.records.into_iter().take_while(|(offset, _)| *offset < range.end);
            for (offset, record) in bound {
                let row = ArchivedRow::new(offset, epoch, record);
                digest.add(offset, row.record_hash);
                rows.push(row);
            }
            next = batch.next;
        }
        if digest.count() != range.count || digest.finish() != range.digest {
            let offsets = range.start..range.end;
            return Err(ArchiverError::BoundRecordsChanged { epoch, partition, offsets });
        }
        Ok(rows)
    }

    /// What live has recorded by now; of later epochs too, which does no harm.
    fn read_digests(&mut self) -> Result<(), ArchiverError> {
        let end = self.log.end_offset(DIGESTS)?;
        while self.next_digest < end {
            let batch = self.log.read(DIGESTS, self.next_digest, READ)?;
            if batch.next == self.next_digest {
                break;
            }
            let epoch = self.fold.epoch();
            let row = |(offset, record)| ArchivedRow::new(offset, epoch, record);
            self.waiting.push(DIGESTS, batch.records.into_iter().map(row).collect())?;
            self.next_digest = batch.next;
        }
        Ok(())
    }
}

/// The catalogue, once a manifest of ours is its newest (see the module doc), and what lay in the
/// archive before that.
fn claim(
    log: &dyn EventLog,
    objects: &dyn ObjectStore,
) -> Result<(Catalogue, Vec<ObjectInfo>), ArchiverError> {
    for _ in 0..CLAIMS {
        let listed = archive::objects(objects)?;
        let mut catalogue = Catalogue::open(objects)?;
        check_same_log(log, &catalogue)?;
        match catalogue.claim(objects, Nonce(eddyline_connect::random::bytes())) {
            Ok(()) => return Ok((catalogue, listed)),
            Err(ArchiveError::Superseded { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let number = Catalogue::open(objects)?.number();
    Err(ArchiveError::Superseded { number }.into())
}

fn check_same_log(log: &dyn EventLog, catalogue: &Catalogue) -> Result<(), ArchiverError> {
    for state in catalogue.topics() {
        let topic = state.topic;
        if state.id != log.topic_id(topic) {
            return Err(ArchiverError::OtherLog { topic });
        }
        for (partition, position) in (0..).zip(&state.partitions) {
            let partition = TopicPartition { topic, partition };
            let end = log.end_offset(partition)?;
            if end < position.next {
                return Err(ArchiverError::Truncated { partition, missing: end..position.next });
            }
        }
    }
    Ok(())
}

/// The fold of the bindings that are archived. Files that are rewritten while they are read are read
/// again, as they are then.
fn fold_of(
    catalogue: &mut Catalogue,
    objects: &dyn ObjectStore,
) -> Result<BindingFold, ArchiverError> {
    for _ in 0..TRIES {
        match fold_files(catalogue, objects) {
            Err(ArchiverError::Archive(missing @ ArchiveError::Missing { .. })) => {
                let Since { newest, is_claimed, is_advanced } = catalogue.since(objects)?;
                if is_claimed || is_advanced || newest == *catalogue {
                    return Err(missing.into());
                }
                *catalogue = newest;
            }
            folded => return folded,
        }
    }
    fold_files(catalogue, objects)
}

fn fold_files(
    catalogue: &Catalogue,
    objects: &dyn ObjectStore,
) -> Result<BindingFold, ArchiverError> {
    let mut fold = BindingFold::default();
    for file in catalogue.files(BINDINGS) {
        let bytes = objects.get(&file.name).map_err(ArchiveError::from)?;
        let bytes = bytes.ok_or_else(|| ArchiveError::Missing { name: file.name.clone() })?;
        for row in read_rows(file, &bytes, HashCheck::Trust)? {
            let offset = row.offset;
            let Some(record) = row.record() else { continue };
            let invalid = |source| ArchiverError::InvalidBinding { offset, source };
            let decoded = decode_binding(&record.value).map_err(invalid)?;
            // What is void changes nothing.
            let _ = fold.step(decoded, &record.value)?;
        }
    }
    Ok(fold)
}
