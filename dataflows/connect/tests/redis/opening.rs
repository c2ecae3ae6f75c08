//! What cannot be opened is refused with what is wrong and what to do.

use eddyline_connect::features::{FeatureStoreOptions, check_features_url, open_features};

use crate::server::Server;

fn refusal(url: &str) -> String {
    let error = open_features(url, &FeatureStoreOptions::default()).err().expect("refused");
    assert!(!error.to_string().contains("secret"), "{error}");
    error.to_string()
}

#[test]
fn urls_are_understood_or_refused_by_name() {
    for url in [
        "embedded:",
        "redis://h",
        "redis://h:1",
        "redis://u:secret@h:1/3",
        "redis://:secret@h",
        "redis+cluster://h:1,i:2",
        "redis+cluster://u:secret@h:1",
    ] {
        check_features_url(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    for (url, want) in [
        ("redis", "no scheme"),
        (
            "memcached://h",
            "unknown scheme \"memcached\", write one of embedded:, redis://HOST:PORT",
        ),
        ("embedded:./data", "write embedded:"),
        ("redis:h", "write two slashes"),
        ("rediss://h", "TLS to Redis is not there yet: run a tunnel"),
        ("redis://", "names no host"),
        ("redis://h:1,i:2", "redis+cluster://"),
        ("redis+cluster://h:1/3", "leave out the path"),
        ("redis://u:secret@h:1/x", "not a number"),
        ("redis://h:1/?a=b", "table [features]"),
    ] {
        let error = check_features_url(url).expect_err(url).to_string();
        assert!(error.contains(want) && !error.contains("secret"), "{url}: {error}");
    }
}

#[test]
fn nobody_there() {
    let error = refusal("redis://u:secret@127.0.0.1:1/0");
    assert_eq!(error, "no Redis answers at 127.0.0.1:1: start it, or correct features.url");
}

#[test]
#[ignore = "needs redis-server"]
fn wrong_password_and_wrong_kind() {
    let server = Server::start(&["--requirepass", "right"]);
    for login in ["", ":secret@", "u:secret@"] {
        let error = refusal(&format!("redis://{login}{}", server.address()));
        assert!(error.contains("refuses the login: correct user and password"), "{error}");
    }
    let login = |scheme: &str| format!("{scheme}://:right@{}", server.address());
    open_features(&login("redis"), &FeatureStoreOptions::default()).expect("it opens");
    let error = refusal(&login("redis+cluster"));
    assert!(error.contains("no node of a cluster: write redis://"), "{error}");
    let options = FeatureStoreOptions { namespace: "a{b".into(), ..FeatureStoreOptions::default() };
    let error = open_features(&login("redis"), &options).err().expect("refused").to_string();
    assert!(error.contains("features.namespace"), "{error}");
}
