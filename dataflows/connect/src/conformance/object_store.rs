//! The conformance suite of [`ObjectStore`].

use std::sync::Arc;

use bytes::Bytes;

use crate::objects::{ObjectError, ObjectInfo, ObjectName, ObjectStore};

/// Makes a fresh, empty store.
pub type MakeObjects<'a> = &'a dyn Fn() -> Arc<dyn ObjectStore>;

/// Runs the whole suite.
pub fn run(make: MakeObjects<'_>) {
    what_was_put_can_be_read(&*make());
    an_object_never_changes(&*make());
    a_repeated_put_is_the_same_put(&*make());
    lists_are_in_order_and_below_their_folder(&*make());
    a_deleted_object_is_gone(&*make());
    one_of_many_writers_wins(&make());
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).expect("a plain name")
}

fn bytes(seed: u8, length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8 ^ seed).collect()
}

fn what_was_put_can_be_read(store: &dyn ObjectStore) {
    assert_eq!(store.get(&name("a/none")).expect("read"), None);
    for (at, length) in [0, 1, 4_096, 3 << 20].into_iter().enumerate() {
        let object = name(&format!("a/b=1/{at}.bin"));
        store.put_if_absent(&object, bytes(at as u8, length)).expect("put");
        let read = store.get(&object).expect("read");
        assert!(read == Some(bytes(at as u8, length)), "{object} of {length} bytes");
    }
}

fn an_object_never_changes(store: &dyn ObjectStore) {
    let object = name("a/fixed");
    store.put_if_absent(&object, bytes(1, 100)).expect("put");
    for other in [bytes(2, 100), bytes(1, 99), Bytes::new()] {
        let refused = store.put_if_absent(&object, other).expect_err("it is taken");
        assert!(
            matches!(&refused, ObjectError::Conflict { name } if *name == object),
            "{refused:?}"
        );
    }
    assert_eq!(store.get(&object).expect("read"), Some(bytes(1, 100)));
}

/// Whoever did not hear the reply to a put asks again.
fn a_repeated_put_is_the_same_put(store: &dyn ObjectStore) {
    let object = name("a/again");
    for _ in 0..3 {
        store.put_if_absent(&object, bytes(3, 1_000)).expect("the same bytes");
    }
    assert_eq!(store.list(&name("a")).expect("listed").len(), 1);
}

fn lists_are_in_order_and_below_their_folder(store: &dyn ObjectStore) {
    assert_eq!(store.list(&name("a")).expect("listed"), []);
    let names = ["a/2", "a/10", "a/deep/er/1", "ab/1", "b", "a/b-c", "a/b/c"];
    for (at, text) in names.into_iter().enumerate() {
        store.put_if_absent(&name(text), bytes(0, at)).expect("put");
    }
    let info = |text: &str, bytes| ObjectInfo { name: name(text), bytes };
    let want = [
        info("a/10", 1),
        info("a/2", 0),
        info("a/b-c", 5),
        info("a/b/c", 6),
        info("a/deep/er/1", 2),
    ];
    assert_eq!(store.list(&name("a")).expect("listed"), want);
    assert_eq!(store.list(&name("a/deep")).expect("listed"), want[4..]);
    for at in 0..30 {
        store.put_if_absent(&name(&format!("many/{at:03}")), Bytes::new()).expect("put");
    }
    let many = store.list(&name("many")).expect("listed");
    assert!(many.len() == 30 && many.is_sorted(), "{many:?}");
}

fn a_deleted_object_is_gone(store: &dyn ObjectStore) {
    let object = name("a/deleted");
    store.delete(&object).expect("there is nothing to delete");
    store.put_if_absent(&object, bytes(1, 10)).expect("put");
    store.delete(&object).expect("deleted");
    assert_eq!(store.get(&object).expect("read"), None);
    assert_eq!(store.list(&name("a")).expect("listed"), []);
    store.put_if_absent(&object, bytes(2, 10)).expect("its name is free again");
}

fn one_of_many_writers_wins(store: &Arc<dyn ObjectStore>) {
    let object = name("a/raced");
    let won: Vec<bool> = std::thread::scope(|scope| {
        let write = |seed| {
            let (store, object) = (Arc::clone(store), object.clone());
            scope.spawn(move || match store.put_if_absent(&object, bytes(seed, 5_000)) {
                Ok(()) => true,
                Err(ObjectError::Conflict { .. }) => false,
                Err(error) => panic!("{error:?}"),
            })
        };
        let writers: Vec<_> = (0..6).map(write).collect();
        writers.into_iter().map(|writer| writer.join().expect("no writer panics")).collect()
    });
    let winner = won.iter().position(|won| *won).expect("one of them wins");
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    assert!(store.get(&object).expect("read") == Some(bytes(winner as u8, 5_000)));
}
