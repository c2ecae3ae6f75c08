//! Where a sequential reader of one partition is: the decoded row group it reads, and the next one
//! on its way.

use std::sync::Arc;
use std::thread::JoinHandle;

use eddyline_connect::objects::ObjectStore;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;

use super::super::catalogue::Catalogue;
use super::super::compact::fetch;
use super::super::entry::FileEntry;
use super::super::error::ArchiveError;
use super::super::read::{HashCheck, OpenFile};
use super::super::row::ArchivedRow;

/// What cursors read from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) catalogue: Arc<Catalogue>,
}

/// A decoded row group.
pub(super) struct Group {
    /// The first offset that it is the answer to: holes belong to the group after them.
    from: Offset,
    /// The offset of its last row.
    pub(super) last: Offset,
    pub(super) rows: Vec<ArchivedRow>,
    file: Arc<OpenFile>,
}

/// See the module doc.
#[derive(Default)]
pub(super) struct Cursor {
    current: Option<Arc<Group>>,
    ahead: Option<Ahead>,
}

/// The group after the current one, maybe not decoded yet.
struct Ahead {
    at: Offset,
    group: JoinHandle<Result<Option<Group>, ArchiveError>>,
}

impl Group {
    fn answers(&self, offset: Offset) -> bool {
        (self.from..=self.last).contains(&offset)
    }
}

impl Cursor {
    /// The group that has `offset` or the first record after it; `None` when there is none.
    pub(super) fn group_at(
        &mut self,
        source: &Source,
        partition: TopicPartition,
        offset: Offset,
    ) -> Result<Option<Arc<Group>>, ArchiveError> {
        if let Some(current) = self.current.as_ref().filter(|group| group.answers(offset)) {
            return Ok(Some(Arc::clone(current)));
        }
        let open = self.current.take().map(|group| Arc::clone(&group.file));
        let group = match self.decoded_ahead(offset) {
            Some(group) => Some(group),
            None => source.load(partition, offset, open)?,
        };
        let Some(group) = group.map(Arc::new) else { return Ok(None) };
        self.go_ahead(source, partition, &group);
        self.current = Some(Arc::clone(&group));
        Ok(Some(group))
    }

    /// The group that was decoded ahead, if it is the one. What went wrong there is not said: the
    /// same will be found again.
    fn decoded_ahead(&mut self, offset: Offset) -> Option<Group> {
        let ahead = self.ahead.take().filter(|ahead| ahead.at <= offset)?;
        let group = ahead.group.join().ok()?.ok()??;
        group.answers(offset).then_some(group)
    }

    fn go_ahead(&mut self, source: &Source, partition: TopicPartition, group: &Arc<Group>) {
        if source.is_last(partition, group.last) {
            return;
        }
        let (source, open, at) = (source.clone(), Arc::clone(&group.file), group.last + 1);
        let decode = move || source.load(partition, at, Some(open));
        // Without a thread the group is decoded when it is asked for.
        let started = std::thread::Builder::new().name("archive-ahead".to_owned()).spawn(decode);
        self.ahead = started.ok().map(|group| Ahead { at, group });
    }
}

impl Source {
    /// Whether no row of the partition comes after this offset.
    pub(super) fn is_last(&self, partition: TopicPartition, last: Offset) -> bool {
        self.catalogue.file_at(partition, last + 1).is_none()
    }

    /// Reads the group that answers `offset`, from the file that is open if it is in there.
    fn load(
        &self,
        partition: TopicPartition,
        offset: Offset,
        open: Option<Arc<OpenFile>>,
    ) -> Result<Option<Group>, ArchiveError> {
        let Some(entry) = self.catalogue.file_at(partition, offset) else { return Ok(None) };
        let file = match open.filter(|open| open.entry().name == entry.name) {
            Some(open) => open,
            None => Arc::new(OpenFile::open(entry, &fetch(&*self.store, entry)?)?),
        };
        let at = file.groups().partition_point(|&(_, last)| last < offset);
        let Some(&(_, last)) = file.groups().get(at) else {
            return Err(ArchiveError::damaged(&entry.name, "it ends before its last offset"));
        };
        let before = at.checked_sub(1).map(|before| file.groups()[before].1 + 1);
        let from = before.unwrap_or_else(|| self.begins_to_answer(entry));
        let rows = file.rows(at, HashCheck::Trust)?;
        if entry.erased.is_none() && rows.iter().any(|row| row.record().is_none()) {
            let reason = "it lacks a record that no erasure took";
            return Err(ArchiveError::damaged(&entry.name, reason));
        }
        Ok(Some(Group { from, last, rows, file }))
    }

    /// The end of the file before this one.
    fn begins_to_answer(&self, entry: &FileEntry) -> Offset {
        self.catalogue.file_before(entry).map_or(0, |file| file.last + 1)
    }
}
