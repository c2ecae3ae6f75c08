//! The object stores: the conformance suite over each, what a crash leaves behind, and the errors
//! that a user of a wrong URL reads.
//!
//! `EDDYLINE_TEST_S3=s3://BUCKET/PREFIX?endpoint=http://127.0.0.1:8333 cargo test -p
//! eddyline-connect --test objects -- --ignored` runs the suite against a server, with the
//! credentials of the environment.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::conformance::object_store;
use eddyline_connect::objects::{
    Access, FolderObjects, MemoryObjects, ObjectError, ObjectName, ObjectStore, open_objects,
};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).expect("a plain name")
}

#[test]
fn memory_objects_conform() {
    object_store::run(&|| Arc::new(MemoryObjects::new()));
}

#[test]
fn folder_objects_conform() {
    let root = tempfile::tempdir().expect("a folder");
    let next = std::cell::Cell::new(0);
    object_store::run(&|| {
        next.set(next.get() + 1);
        let folder = root.path().join(next.get().to_string()).join("nested");
        Arc::new(FolderObjects::open(&folder).expect("a new folder"))
    });
}

#[test]
fn what_a_dead_writer_left_is_not_an_object_and_goes() {
    let root = tempfile::tempdir().expect("a folder");
    let store = FolderObjects::open(root.path()).expect("a folder");
    store.put_if_absent(&name("a/1"), Bytes::from_static(b"one")).expect("put");
    let torn = root.path().join(".tmp/dead-0");
    std::fs::write(&torn, b"tor").expect("written");
    let living = root.path().join(".tmp/living-0");
    let file = std::fs::File::create(&living).expect("written");
    file.lock().expect("nobody has it");
    std::fs::write(&living, b"in progress").expect("written");
    let again = FolderObjects::open(root.path()).expect("a folder");
    assert!(!torn.exists() && living.exists(), "only what nobody writes is removed");
    assert_eq!(again.list(&name("a")).expect("listed").len(), 1);
    assert_eq!(again.get(&name("a/1")).expect("read"), Some(Bytes::from_static(b"one")));
}

/// The whole chain, as the binary prints it.
fn refusal(url: &str) -> String {
    let error = match open_objects(url, Access::Write) {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    };
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[test]
fn a_folder_that_cannot_be_one_is_refused_with_the_remedy() {
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("file");
    std::fs::write(&file, b"").expect("written");
    let text = refusal(&format!("file:{}", file.display()));
    assert!(text.contains("a file is in the place of a folder"), "{text}");
    let sealed = Path::new("/proc/eddyline-objects");
    let text = refusal(&format!("file:{}", sealed.display()));
    assert!(text.contains("/proc/eddyline-objects"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("bound");
    drop(listener);
    let text = refusal(&format!("s3://bucket/p?endpoint=http://{at}&region=r"));
    assert!(text.contains("s3://bucket/p") && text.contains(&at.to_string()), "{text}");
}

fn server() -> (String, String) {
    let url = std::env::var("EDDYLINE_TEST_S3").expect("EDDYLINE_TEST_S3 names a bucket");
    let (place, query) = url.split_once('?').unwrap_or((&url, ""));
    (place.trim_end_matches('/').to_owned(), format!("?{query}"))
}

#[test]
#[ignore = "needs a server: EDDYLINE_TEST_S3"]
fn s3_objects_conform() {
    let (place, query) = server();
    let next = std::cell::Cell::new(0);
    let run = std::process::id();
    object_store::run(&|| {
        next.set(next.get() + 1);
        let url = format!("{place}/{run}-{}{query}", next.get());
        open_objects(&url, Access::Write).expect("the server is there")
    });
}

#[test]
#[ignore = "needs a server: EDDYLINE_TEST_S3"]
fn a_bucket_that_is_not_there_is_named() {
    let (_, query) = server();
    let url = format!("s3://no-such-bucket/p{query}");
    let text = refusal(&url);
    assert!(text.contains("there is no bucket \"no-such-bucket\""), "{text}");
    let read = open_objects(&url, Access::Read).err().map(|error| error.to_string());
    assert!(read.is_some_and(|text| text.contains("no-such-bucket")), "reading finds out too");
}

/// Runs in a process of its own with other credentials, see the `s3` step of CI.
#[test]
#[ignore = "needs a server and wrong credentials: EDDYLINE_TEST_S3"]
fn wrong_credentials_are_named() {
    let (place, query) = server();
    let text = refusal(&format!("{place}/p{query}"));
    assert!(text.contains("check AWS_ACCESS_KEY_ID"), "{text}");
    let error = open_objects(&format!("{place}/p{query}"), Access::Read).err();
    assert!(matches!(error, Some(ObjectError::Refused { .. })), "{error:?}");
}
