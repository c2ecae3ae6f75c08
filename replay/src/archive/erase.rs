//! Erasure: every row of a user, up to the event that asked for it, loses all but its place, its
//! times and its hash.
//!
//! * The chain of rows and the digests of bound ranges know hashes only: they hold as they did.
//! * A file is never changed. Those that hold a row of the user are written anew, under the name of
//!   the next generation; one manifest takes them in, the old ones out, and says what was erased;
//!   then the old objects are deleted. Wherever this dies, the newest manifest is whole, and the
//!   same call again completes it: what is erased has no rows to find, old objects are orphans.
//! * What a new file says besides its rows (dictionaries, statistics, page indexes, bloom filters)
//!   is made of the rows that are left.
//!
//! Up to where is an order of places: (epoch, topic name, partition, offset), that in which events
//! count. What the user did after that is a new user's.

mod whose;

use std::collections::BTreeMap;

use eddyline_connect::objects::{ObjectName, ObjectStore};
use eddyline_schemas::decode::decode_record;
use eddyline_schemas::event::EventType;
use eddyline_schemas::id::{IdHash, UserId};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::build::{FileBuilder, LEVEL_COMPACTED};
use super::catalogue::{Catalogue, Change};
use super::compact::fetch;
use super::entry::FileEntry;
use super::error::ArchiveError;
use super::manifest::Nonce;
use super::read::{HashCheck, OpenFile};
use super::row::ArchivedRow;
use whose::Whose;

/// A record's place in the order in which events count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The epoch that bound it.
    pub epoch: Epoch,
    /// Where it lies.
    pub partition: TopicPartition,
    /// And there.
    pub offset: Offset,
}

/// The event that asked for an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The event; the last row that is erased.
    pub place: Place,
    /// When it was appended.
    pub append_time: TimestampMs,
}

/// Whom to erase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The user.
    pub user: UserId,
    /// Up to which event; without one, everything that is archived.
    pub request: Option<Request>,
}

/// An erasure that is carried out. It never says whose: see [`IdHash`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// From 1, without gaps.
    pub number: u64,
    /// Hash of the user's id.
    pub user: IdHash,
    /// The event that asked for it.
    pub request: Option<Request>,
    /// The last epoch that was looked at.
    pub until: Epoch,
    /// Files that held rows of the user.
    pub files: u64,
    /// Those rows, but for events that asked for an erasure.
    pub rows: u64,
    /// These.
    pub requests: u64,
    /// Epoch of the first of them; 0 when there is none. From there on, history is another one.
    pub first_epoch: Epoch,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// In the order of the subjects.
    pub erasures: Vec<Erasure>,
    /// New files.
    pub added: Vec<FileEntry>,
    /// Objects that they replace, deleted.
    pub removed: Vec<ObjectName>,
}

/// The erasures that archived events ask for and that are not carried out, in the order of their
/// events. Reads only the files that say that they hold some.
pub fn requests(
    store: &dyn ObjectStore,
    catalogue: &Catalogue,
) -> Result<Vec<Subject>, ArchiveError> {
    let mut subjects = Vec::new();
    for file in catalogue.all_files().filter(|file| file.requests > 0) {
        let open = OpenFile::open(file, &fetch(store, file)?)?;
        for group in 0..open.groups().len() {
            let rows = open.rows(group, HashCheck::Trust)?;
            subjects.extend(rows.iter().filter_map(|row| asks(file.partition, row)));
        }
    }
    subjects.sort_by_key(|subject| subject.request.map(|request| request.place));
    Ok(subjects)
}

/// Whom a row asks to erase.
fn asks(partition: TopicPartition, row: &ArchivedRow) -> Option<Subject> {
    let record = row.record()?;
    let event = decode_record(partition, row.offset, record).ok()?;
    if event.event_type != EventType::Erase {
        return None;
    }
    let request = Request { place: place(partition, row), append_time: record.append_time };
    Some(Subject { user: event.user_id?, request: Some(request) })
}

fn place(partition: TopicPartition, row: &ArchivedRow) -> Place {
    Place { epoch: row.epoch, partition, offset: row.offset }
}

/// Erases these users; see the module doc. Memory is that of a file and of the one that replaces
/// it. After an error of the last step, the deletions, the manifest stands and `catalogue` says so.
pub fn erase(
    store: &dyn ObjectStore,
    catalogue: &mut Catalogue,
    subjects: &[Subject],
    nonce: Nonce,
) -> Result<Erased, ArchiveError> {
    let mut done = Erased { erasures: begun(catalogue, subjects), ..Erased::default() };
    if !subjects.is_empty() {
        let sought = Sought::new(subjects, catalogue);
        let inputs = |file: &&FileEntry| Topic::INPUTS.contains(&file.partition.topic);
        let files: Vec<FileEntry> = catalogue.all_files().filter(inputs).cloned().collect();
        for file in files.iter().filter(|file| file.first_epoch <= sought.until) {
            let Some(entry) = erase_file(store, file, &sought, &mut done.erasures)? else {
                continue;
            };
            done.added.push(entry);
            done.removed.push(file.name.clone());
        }
        let change = Change {
            epoch: catalogue.epoch(),
            added: done.added.clone(),
            removed: done.removed.clone(),
            erased: done.erasures.clone(),
            ..Change::default()
        };
        catalogue.commit(store, change, nonce)?;
    }
    // The last look before the last other copy goes.
    done.added.iter().try_for_each(|file| fetch(store, file).map(drop))?;
    catalogue.delete_removed(store)?;
    // What somebody has left behind without naming it may hold the user, too.
    catalogue.sweep(store, nonce)?;
    Ok(done)
}

fn begun(catalogue: &Catalogue, subjects: &[Subject]) -> Vec<Erasure> {
    let before = catalogue.erasures().len() as u64;
    let begin = |(number, subject): (u64, &Subject)| Erasure {
        number,
        user: subject.user.hash(),
        request: subject.request,
        until: subject.request.map_or(catalogue.epoch(), |request| request.place.epoch),
        files: 0,
        rows: 0,
        requests: 0,
        first_epoch: Epoch(0),
    };
    (before + 1..).zip(subjects).map(begin).collect()
}

/// What is looked for.
struct Sought<'a> {
    of: Vec<(Whose<'a>, Option<Place>)>,
    /// The last epoch to look at.
    until: Epoch,
    /// The newest manifest before.
    begun_at: u64,
}

impl<'a> Sought<'a> {
    fn new(subjects: &'a [Subject], catalogue: &Catalogue) -> Self {
        let end = catalogue.epoch();
        let one = |subject: &'a Subject| {
            (Whose::new(&subject.user), subject.request.map(|request| request.place))
        };
        let until = subjects.iter().map(|of| of.request.map_or(end, |of| of.place.epoch)).max();
        Self {
            of: subjects.iter().map(one).collect(),
            until: until.unwrap_or_default(),
            begun_at: catalogue.number(),
        }
    }

    /// The first subject whose row it is.
    fn find(&self, partition: TopicPartition, row: &ArchivedRow) -> Option<usize> {
        let record = row.record()?;
        let at = place(partition, row);
        self.of.iter().position(|(whose, until)| {
            until.is_none_or(|until| at <= until) && whose.is(partition, row.offset, record)
        })
    }
}

/// The file that replaces `file`; `None` when it holds nothing that is sought.
fn erase_file(
    store: &dyn ObjectStore,
    file: &FileEntry,
    sought: &Sought<'_>,
    erasures: &mut [Erasure],
) -> Result<Option<FileEntry>, ArchiveError> {
    let open = OpenFile::open(file, &fetch(store, file)?)?;
    let mut hits = BTreeMap::new();
    for group in 0..open.groups().len() {
        for row in open.rows(group, HashCheck::Trust)? {
            if let Some(subject) = sought.find(file.partition, &row) {
                let is_request = asks(file.partition, &row).is_some();
                hits.insert(row.offset, (subject, row.epoch, is_request));
            }
        }
    }
    if hits.is_empty() {
        return Ok(None);
    }
    let builder = FileBuilder::new(file.partition, file.chain_before, LEVEL_COMPACTED)?;
    let mut builder = builder.begun_at(sought.begun_at).instead_of(file);
    for group in 0..open.groups().len() {
        for row in open.rows(group, HashCheck::Recompute)? {
            let is_hit = hits.contains_key(&row.offset);
            builder.push(if is_hit { row.erased() } else { row })?;
        }
    }
    if builder.chain() != file.chain_after {
        return Err(ArchiveError::damaged(&file.name, "its rows give another row digest"));
    }
    let entry = builder.finish()?.store(store)?;
    count(&hits, erasures);
    Ok(Some(entry))
}

fn count(hits: &BTreeMap<Offset, (usize, Epoch, bool)>, erasures: &mut [Erasure]) {
    for (at, erasure) in erasures.iter_mut().enumerate() {
        let own = || hits.values().filter(|(subject, ..)| *subject == at);
        let Some((_, first, _)) = own().next() else { continue };
        let asked = own().filter(|(_, _, is_request)| *is_request).count() as u64;
        erasure.files += 1;
        erasure.requests += asked;
        erasure.rows += own().count() as u64 - asked;
        let is_first = erasure.first_epoch == Epoch(0) || *first < erasure.first_epoch;
        if is_first {
            erasure.first_epoch = *first;
        }
    }
}
