//! What is left of a user in the archive.

use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::objects::ObjectStore;
use eddyline_replay::archive::{
    Catalogue, Change, FileBuilder, LEVEL, Nonce, Subject, compact, erase, requests, verify,
};
use eddyline_replay::archiver::{Archiver, ArchiverLimits};
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::Epoch;
use parquet::data_type::ByteArray;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};

use crate::support::shop::Shop;
use crate::support::story::{Story, VISITOR, all_objects, all_rows, slowly_erased};

/// Where bytes of an object say `id`: as they are, and in every column once decoded.
pub(crate) fn mentions(store: &dyn ObjectStore, id: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, bytes) in all_objects(store) {
        if bytes.windows(id.len()).any(|window| window == id.as_bytes()) {
            found.push(format!("{name}: its bytes"));
        }
        if name.as_str().ends_with(".parquet") && decoded(&bytes, id) {
            found.push(format!("{name}: its columns"));
        }
    }
    found
}

fn decoded(bytes: &Bytes, id: &str) -> bool {
    let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options = ReadOptionsBuilder::new().with_reader_properties(properties).build();
    let reader =
        SerializedFileReader::new_with_options(bytes.clone(), options).expect("it is Parquet");
    let users = reader.metadata().file_metadata().schema_descr().columns();
    let users = users.iter().position(|column| column.path().string() == "user_id");
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).expect("it can be read");
        let filter = users.and_then(|at| group.get_column_bloom_filter(at));
        if filter.is_some_and(|filter| filter.check(&ByteArray::from(id))) {
            return true;
        }
    }
    // JSON columns and lists of bytes are shown as texts and as numbers.
    let numbers: Vec<String> = id.bytes().map(|byte| byte.to_string()).collect();
    let shown = [id.to_owned(), format!("{id:?}"), numbers.join(", ")];
    let mut rows = reader.get_row_iter(None).expect("it can be read");
    rows.any(|row| {
        let row = row.expect("it can be read").to_string();
        shown.iter().any(|id| row.contains(id))
    })
}

pub(crate) fn check_whole(store: &dyn ObjectStore) -> u64 {
    let report = verify(store, &mut |_| {}).expect("memory can be read");
    assert!(report.is_whole(), "{:?}", report.findings);
    report.erased
}

#[test]
fn a_user_loses_every_row_and_nobody_else_does() {
    let story = Story::told(90);
    let store = story.store();
    let before = all_rows(&*store);
    assert!(!mentions(&*store, VISITOR).is_empty(), "the search finds what is there");
    let limits = ArchiverLimits::default();
    let mut archiver = Archiver::open(story.log, Arc::clone(&store), limits).expect("it is sound");
    assert!(archiver.is_asked_to_erase());
    let done = archiver.erase().expect("memory never fails");
    assert!(!archiver.is_asked_to_erase() && !done.added.is_empty());
    assert_eq!(*archiver.catalogue(), story_catalogue(&*store));
    let after = all_rows(&*store);
    assert!(after == slowly_erased(&before), "exactly the rows that the slow way finds");
    let count = |rows: &crate::support::story::Rows| {
        rows.values().flatten().filter(|row| row.record().is_none()).count() as u64
    };
    assert_eq!(check_whole(&*store), count(&after));
    let told: u64 = done.erasures.iter().map(|one| one.rows + one.requests).sum();
    assert_eq!(told, count(&after), "every row is somebody's");
    let hash = UserId::new(VISITOR).expect("a valid id").hash();
    let own = done.erasures.iter().find(|one| one.user == hash).expect("they asked");
    assert_eq!((own.rows, own.requests), (10, 1), "{own:?}");
    // Who comes back is somebody new: two views are all that is left.
    let left = after.values().flatten().filter_map(|row| row.record());
    assert_eq!(left.filter(|record| record.key == VISITOR.as_bytes()).count(), 2);
}

fn story_catalogue(store: &dyn ObjectStore) -> Catalogue {
    Catalogue::open(store).expect("it is whole")
}

#[test]
fn nothing_that_is_left_says_the_id() {
    let story = Story::told(90);
    let mut catalogue = story.catalogue();
    let user = UserId::new(VISITOR).expect("a valid id");
    let before = catalogue.all_files().count();
    let generation = format!("-g{:04}.parquet", catalogue.number());
    let subject = Subject { user, request: None };
    let done = erase(&*story.objects, &mut catalogue, &[subject], Nonce([1; 16])).expect("whole");
    assert_eq!((done.erasures[0].rows, done.erasures[0].requests), (12, 1));
    assert_eq!(mentions(&*story.objects, VISITOR), [""; 0]);
    assert_eq!(catalogue.all_files().count(), before, "as many files as before");
    let anew = catalogue.all_files().filter(|file| file.name.as_str().ends_with(&generation));
    assert_eq!(anew.count(), done.added.len());
    check_whole(&*story.objects);
}

#[test]
fn who_was_never_there_leaves_an_erasure_of_nothing() {
    let story = Story::told(200);
    let (mut catalogue, before) = (story.catalogue(), all_rows(&*story.objects));
    let user = UserId::new("nobody at all").expect("a valid id");
    let subject = Subject { user, request: None };
    let done = erase(&*story.objects, &mut catalogue, &[subject], Nonce([1; 16])).expect("whole");
    let [erasure] = &done.erasures[..] else { panic!("one") };
    assert_eq!((erasure.number, erasure.files, erasure.rows), (1, 0, 0));
    assert_eq!(catalogue.erasures(), [Epoch(0)]);
    assert!(all_rows(&*story.objects) == before);
}

#[test]
fn the_archiver_goes_on_behind_an_erasure_and_compaction_keeps_it() {
    let story = Story::told(90);
    let store = story.store();
    let limits = ArchiverLimits { rows: 90, ..ArchiverLimits::default() };
    let log = Arc::clone(&story.log);
    let mut archiver = Archiver::open(log, Arc::clone(&store), limits).expect("it is sound");
    archiver.erase().expect("memory never fails");
    let erased = check_whole(&*store);
    let mut more = Shop::new(5);
    more.records(100).iter().for_each(|stored| {
        let append = eddyline_connect::log::Append {
            partition: stored.at,
            key: stored.record.key.clone(),
            value: stored.record.value.clone(),
            headers: stored.record.headers.clone(),
        };
        story.log.append(vec![append]).expect("memory never fails");
    });
    crate::support::running::bind_all(&crate::support::live::core(), &story.log, 40);
    while archiver.read_on().expect("memory can be read") {}
    archiver.write().expect("memory never fails");
    assert_eq!(check_whole(&*store), erased);
    let (before, mut catalogue) = (all_rows(&*store), story.catalogue());
    let erasures = catalogue.erasures().to_vec();
    compact(&*store, &mut catalogue, 1 << 30, Nonce([2; 16])).expect("it is whole");
    assert!(all_rows(&*store) == before && !erasures.is_empty());
    assert_eq!((check_whole(&*store), catalogue.erasures()), (erased, &erasures[..]));
    let declared = catalogue.all_files().filter_map(|file| file.erased).map(|of| of.rows);
    assert_eq!(declared.sum::<u64>(), erased);
}

/// A file whose rows lack what the manifest does not say was erased.
#[test]
fn a_record_that_no_erasure_took_is_found_missing() {
    let story = Story::told(100_000);
    let store = story.store();
    let mut catalogue = story.catalogue();
    let name =
        |file: &&eddyline_replay::archive::FileEntry| file.name.as_str().starts_with("feedback");
    let file = catalogue.all_files().find(name).expect("there is feedback").clone();
    let bytes = store.get(&file.name).expect("memory can be read").expect("it is there");
    let rows = eddyline_replay::archive::read_rows(
        &file,
        &bytes,
        eddyline_replay::archive::HashCheck::Trust,
    );
    let mut builder = FileBuilder::new(file.partition, file.chain_before, LEVEL).expect("right");
    for (at, row) in rows.expect("it is whole").into_iter().enumerate() {
        builder.push(if at == 3 { row.erased() } else { row }).expect("in order");
    }
    let built = builder.finish().expect("there are rows");
    let name = format!("{}-g0007.parquet", file.name.as_str().trim_end_matches(".parquet"));
    let name = eddyline_connect::objects::ObjectName::new(name).expect("a plain name");
    store.put_if_absent(&name, built.bytes).expect("memory never fails");
    let said = eddyline_replay::archive::FileEntry { name, erased: None, ..built.entry };
    let change = Change {
        epoch: catalogue.epoch(),
        added: vec![said.clone()],
        removed: vec![file.name.clone()],
        ..Change::default()
    };
    catalogue.commit(&*store, change, Nonce([3; 16])).expect("nobody else writes");
    store.delete(&file.name).expect("memory never fails");
    let report = verify(&*store, &mut |_| {}).expect("memory can be read");
    let said: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|said| said.contains("1 were erased")), "{said:?}");
    let log = eddyline_replay::archive::ArchiveLog::open(Arc::clone(&store)).expect("it opens");
    let limit = eddyline_connect::log::ReadLimit { records: 10, bytes: usize::MAX };
    let read = eddyline_connect::log::EventLog::read(&log, file.partition, file.first, limit);
    assert!(read.expect_err("it is not whole").to_string().contains("no erasure took"));
    assert!(requests(&*store, &catalogue).is_ok());
}
