//! Making a database whole or not at all, opening it, and adding partitions.
//!
//! The keyspace `meta` holds `format` → version and, for each topic, its name → topic id (16
//! bytes) and number of partitions (u32, little-endian).

use std::io;
use std::path::Path;

use eddyline_schemas::topic::{Topic, TopicPartition};
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::super::folder::sync_folder;
use super::is_damage;
use crate::layout::{LogLayout, TOPICS};
use crate::log::OpenError;

const DATABASE: &str = "log";
const UNFINISHED: &str = "log.creating";
const FORMAT: u32 = 1;

/// Most bytes of a partition in memory before they go to a table.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// Small chunks are compressed together up to this size.
const BLOCK_BYTES: u32 = 32 << 10;
/// Journals kept; also bounds what an open has to replay.
const JOURNAL_BYTES: u64 = 256 << 20;
/// Reads of the tail come from our own memory: this is for index blocks.
const CACHE_BYTES: u64 = 16 << 20;

type TopicIds = [[u8; 16]; TOPICS.len()];

/// What `meta` says of a topic.
struct TopicMeta {
    id: [u8; 16],
    partitions: u32,
}

/// The database of `folder` with all partitions of `layout`, and the ids of [`TOPICS`].
pub(super) fn open_or_create(
    folder: &Path,
    layout: LogLayout,
) -> Result<(Database, TopicIds), OpenError> {
    let io_error = |source| OpenError::Io { folder: folder.to_path_buf(), source };
    let path = folder.join(DATABASE);
    if !path.try_exists().map_err(io_error)? {
        let unfinished = folder.join(UNFINISHED);
        remove_if_exists(&unfinished).map_err(io_error)?;
        create(&unfinished, layout).map_err(|error| open_error(folder, error))?;
        std::fs::rename(&unfinished, &path).map_err(io_error)?;
        sync_folder(folder).map_err(io_error)?;
    }
    let database = database(&path).map_err(|error| open_error(folder, error))?;
    let ids = grow(&database, folder, layout)?;
    Ok((database, ids))
}

/// The keyspace of a partition, made if need be.
pub(super) fn keyspace(
    database: &Database,
    partition: TopicPartition,
) -> Result<Keyspace, fjall::Error> {
    let name = format!("{}-{}", partition.topic, partition.partition);
    database.keyspace(&name, || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(MEMTABLE_BYTES)
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
            .filter_policy(FilterPolicy::disabled())
    })
}

/// Tells damage from a failing file system.
pub(super) fn open_error(folder: &Path, error: fjall::Error) -> OpenError {
    let folder = folder.to_path_buf();
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            OpenError::Io { folder, source }
        }
        error if is_damage(&error) => {
            let what = "the database cannot be opened".to_owned();
            OpenError::Damaged { folder, what, source: Some(error.into()) }
        }
        error => OpenError::Io { folder, source: io::Error::other(error) },
    }
}

fn database(path: &Path) -> Result<Database, fjall::Error> {
    Database::builder(path)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .journal_compression(CompressionType::None)
        .worker_threads(2)
        .open()
}

fn create(path: &Path, layout: LogLayout) -> Result<(), fjall::Error> {
    let database = database(path)?;
    for partition in layout.all() {
        keyspace(&database, partition)?;
    }
    let meta = meta(&database)?;
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(&meta, "format", FORMAT.to_le_bytes());
    for topic in TOPICS {
        let partitions = layout.partitions(topic);
        let made = TopicMeta { id: crate::random::bytes(), partitions };
        batch.insert(&meta, topic.name(), made.encode());
    }
    batch.commit()?;
    sync_names(path)
}

/// Makes the folders of new keyspaces durable, which the database leaves to the file system.
fn sync_names(database: &Path) -> Result<(), fjall::Error> {
    sync_folder(&database.join("keyspaces"))?;
    sync_folder(database).map_err(fjall::Error::from)
}

/// Adds the partitions that `layout` has more than the database; refuses fewer.
fn grow(database: &Database, folder: &Path, layout: LogLayout) -> Result<TopicIds, OpenError> {
    let failed = |error| open_error(folder, error);
    let meta = meta(database).map_err(failed)?;
    check_format(&meta, folder)?;
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    let mut ids = TopicIds::default();
    for (topic, id) in TOPICS.into_iter().zip(&mut ids) {
        let value = meta.get(topic.name()).map_err(failed)?;
        let mut known = match value.as_deref().map(TopicMeta::decode) {
            Some(Some(known)) => known,
            // Logs made before there was such a topic.
            None if matches!(topic, Topic::Deltas | Topic::Digests) => {
                TopicMeta { id: crate::random::bytes(), partitions: 0 }
            }
            None | Some(None) => {
                let what = format!("nothing is known of topic {topic}");
                return Err(OpenError::Damaged {
                    folder: folder.to_path_buf(),
                    what,
                    source: None,
                });
            }
        };
        *id = known.id;
        let (asked, stored) = (layout.partitions(topic), known.partitions);
        if topic == Topic::Deltas && stored > 0 && asked != stored {
            return Err(OpenError::FixedPartitions { topic, stored, asked });
        }
        if asked < known.partitions {
            return Err(OpenError::FewerPartitions { topic, stored: known.partitions, asked });
        }
        if asked > known.partitions {
            add_partitions(database, topic, known.partitions..asked).map_err(failed)?;
            sync_names(&folder.join(DATABASE)).map_err(failed)?;
            known.partitions = asked;
            batch.insert(&meta, topic.name(), known.encode());
        }
    }
    batch.commit().map_err(failed)?;
    Ok(ids)
}

fn add_partitions(
    database: &Database,
    topic: Topic,
    added: std::ops::Range<u32>,
) -> Result<(), fjall::Error> {
    for partition in added {
        keyspace(database, TopicPartition { topic, partition })?;
    }
    Ok(())
}

fn check_format(meta: &Keyspace, folder: &Path) -> Result<(), OpenError> {
    let found = meta.get("format").map_err(|error| open_error(folder, error))?;
    if found.as_deref() == Some(&FORMAT.to_le_bytes()[..]) {
        return Ok(());
    }
    let what = format!("its format is {found:?}, this build reads {FORMAT}");
    Err(OpenError::Damaged { folder: folder.to_path_buf(), what, source: None })
}

/// What is kept beside the records.
pub(super) fn meta(database: &Database) -> Result<Keyspace, fjall::Error> {
    database.keyspace("meta", KeyspaceCreateOptions::default)
}

fn remove_if_exists(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl TopicMeta {
    fn encode(&self) -> Vec<u8> {
        [&self.id[..], &self.partitions.to_le_bytes()[..]].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (id, partitions) = bytes.split_first_chunk::<16>()?;
        let partitions = u32::from_le_bytes(partitions.try_into().ok()?);
        Some(Self { id: *id, partitions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, layout: LogLayout) -> Result<(Database, TopicIds), OpenError> {
        open_or_create(folder, layout)
    }

    fn id_of(ids: &TopicIds, topic: Topic) -> [u8; 16] {
        let at = TOPICS.iter().position(|known| *known == topic);
        ids[at.expect("TOPICS has all topics")]
    }

    /// Such logs were made before there was the topic.
    #[test]
    fn a_log_without_the_topic_of_deltas_gets_it_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = LogLayout::default();
        let (database, before) = open(folder.path(), layout).expect("a new log");
        for partition in 0..layout.partitions(Topic::Deltas) {
            let name = TopicPartition { topic: Topic::Deltas, partition };
            let unknown = keyspace(&database, name).expect("it is there");
            database.delete_keyspace(unknown).expect("it can be deleted");
        }
        meta(&database).and_then(|meta| meta.remove(Topic::Deltas.name())).expect("removed");
        drop(database);
        let (database, after) = open(folder.path(), layout).expect("an older log");
        for topic in TOPICS {
            assert_eq!(id_of(&before, topic) == id_of(&after, topic), topic != Topic::Deltas);
        }
        drop(database);
        let (database, again) = open(folder.path(), layout).expect("it has the topic now");
        assert_eq!(again, after);
        drop(database);
        let more = layout.with_deltas(5).expect("a count in range");
        let refused = open(folder.path(), more).map(|_| ()).expect_err("P is fixed").to_string();
        assert!(refused.contains("deltas.v1 was made with 4 partitions and keeps them, not 5"));
        let dropped = meta(&open(folder.path(), layout).expect("as it was").0)
            .and_then(|meta| meta.remove(Topic::Feedback.name()));
        dropped.expect("removed");
        let refused = open(folder.path(), layout).map(|_| ()).expect_err("damaged").to_string();
        assert!(refused.contains("nothing is known of topic feedback"), "{refused}");
    }
}
