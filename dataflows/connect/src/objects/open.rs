//! Which object store, by URL: `memory:`, `file:` and a folder, or `s3://bucket/prefix`.
//!
//! `s3://` takes `?endpoint=http://host:port` for a server that is not Amazon's, and `&region=…`;
//! both may come from the environment instead (`AWS_ENDPOINT_URL`, `AWS_REGION`). Credentials come
//! from there alone: a URL is shown in logs and errors.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::s3::{Bucket, S3Objects};
use super::{FolderObjects, MemoryObjects, ObjectError, ObjectName, ObjectStore};

/// Schemes that [`open_objects`] can open.
pub const OBJECT_SCHEMES: [&str; 3] = ["memory:", "file:FOLDER", "s3://BUCKET/PREFIX"];

/// What the opener is going to do, tried out when the store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Get and list.
    Read,
    /// Put and delete as well.
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ObjectsUrl<'a> {
    Memory,
    Folder(&'a Path),
    Bucket(Bucket),
}

/// Opens the store that `url` names, and tries out what `access` says.
pub fn open_objects(url: &str, access: Access) -> Result<Arc<dyn ObjectStore>, ObjectError> {
    let store: Arc<dyn ObjectStore> = match ObjectsUrl::parse(url)? {
        ObjectsUrl::Memory => Arc::new(MemoryObjects::new()),
        ObjectsUrl::Folder(folder) => Arc::new(FolderObjects::open(folder)?),
        ObjectsUrl::Bucket(bucket) => Arc::new(S3Objects::new(bucket)?),
    };
    // First of all, since some servers would create a bucket for whoever puts into it.
    store.list(&probe_folder())?;
    if access == Access::Write {
        probe(&*store, url)?;
    }
    Ok(store)
}

/// Tells whether [`open_objects`] would know what `url` means, without opening anything.
pub fn check_objects_url(url: &str) -> Result<(), ObjectError> {
    ObjectsUrl::parse(url).map(|_| ())
}

fn probe_folder() -> ObjectName {
    ObjectName::new("probe").expect("a plain word is a name")
}

/// Some servers take a conditional put and ignore the condition: two writers would then overwrite
/// each other, so they are found out before anything is written.
fn probe(store: &dyn ObjectStore, url: &str) -> Result<(), ObjectError> {
    let nonce: String = crate::random::bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let name = probe_folder().join(&nonce)?;
    store.put_if_absent(&name, Bytes::from_static(b"first"))?;
    let again = store.put_if_absent(&name, Bytes::from_static(b"second"));
    store.delete(&name)?;
    match again {
        Err(ObjectError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Err(ObjectError::Url {
            url: without_query(url).to_owned(),
            reason: "it ignores the condition of a conditional put (If-None-Match), so writers \
                     could overwrite each other; use a server that honours it"
                .to_owned(),
        }),
    }
}

/// What of a URL may be shown: somebody may have put a secret behind the question mark.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

impl<'a> ObjectsUrl<'a> {
    fn parse(url: &'a str) -> Result<Self, ObjectError> {
        let known = OBJECT_SCHEMES.join(", ");
        let refused = |reason: String| {
            let user = url.find('@').map_or(0, |at| at + 1);
            let url = if user > 0 { "s3://…" } else { without_query(url) }.to_owned();
            ObjectError::Url { url, reason }
        };
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(refused(format!("it has no scheme, write one of {known}")));
        };
        match (scheme, rest) {
            ("memory", "") => Ok(Self::Memory),
            ("memory", _) => Err(refused("a store in memory has no name, write memory:".into())),
            ("file", "") => Err(refused("name a folder, such as file:./archive".to_owned())),
            ("file", rest) if rest.starts_with("//") => {
                Err(refused("write the folder right after the colon: file:./archive".to_owned()))
            }
            ("file", folder) => Ok(Self::Folder(Path::new(folder))),
            ("s3", rest) => match rest.strip_prefix("//") {
                Some(rest) => Ok(Self::Bucket(parse_bucket(rest).map_err(refused)?)),
                None => Err(refused("write s3://bucket/prefix".to_owned())),
            },
            _ => Err(refused(format!("unknown scheme {scheme:?}, write one of {known}"))),
        }
    }
}

fn parse_bucket(rest: &str) -> Result<Bucket, String> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
    if name.contains('@') {
        return Err("credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err("name a bucket, such as s3://bucket/prefix".to_owned());
    }
    let prefix = prefix.trim_matches('/');
    if !prefix.is_empty() && ObjectName::new(prefix).is_err() {
        return Err(format!(
            "{prefix:?} is no prefix: letters, digits and . _ = - between slashes"
        ));
    }
    let (mut endpoint, mut region) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("endpoint", url)) if url.starts_with("http") => endpoint = Some(url.to_owned()),
            Some(("endpoint", _)) => return Err("endpoint must be http://… or https://…".into()),
            Some(("region", name)) => region = Some(name.to_owned()),
            // The value is not shown: it may be a secret.
            Some((key, _)) => return Err(format!("it knows endpoint and region, not {key:?}")),
            None => return Err("write the query as key=value".to_owned()),
        }
    }
    Ok(Bucket { name: name.to_owned(), prefix: prefix.to_owned(), endpoint, region })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_understood_or_refused_by_name() {
        let check =
            |url: &str, want: Result<ObjectsUrl<'_>, &str>| match (ObjectsUrl::parse(url), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{url}"),
                (Err(got), Err(want)) => assert!(got.to_string().contains(want), "{url}: {got}"),
                (got, want) => panic!("{url}: {got:?}, expected {want:?}"),
            };
        let bucket = |name: &str, prefix: &str, endpoint: Option<&str>, region: Option<&str>| {
            ObjectsUrl::Bucket(Bucket {
                name: name.to_owned(),
                prefix: prefix.to_owned(),
                endpoint: endpoint.map(str::to_owned),
                region: region.map(str::to_owned),
            })
        };
        check("memory:", Ok(ObjectsUrl::Memory));
        check("file:./archive", Ok(ObjectsUrl::Folder(Path::new("./archive"))));
        check("s3://b", Ok(bucket("b", "", None, None)));
        check("s3://b/a/c/", Ok(bucket("b", "a/c", None, None)));
        let full = "s3://b/p?endpoint=http://h:1&region=eu-1";
        check(full, Ok(bucket("b", "p", Some("http://h:1"), Some("eu-1"))));
        check("memory:x", Err("write memory:"));
        check("file:", Err("name a folder"));
        check("file:///a", Err("right after the colon"));
        check("s3:b", Err("write s3://bucket/prefix"));
        check("s3://", Err("name a bucket"));
        check("s3://b/a b", Err("is no prefix"));
        check("s3://b?endpoint=h:1", Err("endpoint must be"));
        check("gs://b", Err("unknown scheme \"gs\", write one of memory:, file:FOLDER, s3://"));
        check("archive", Err("no scheme"));
    }

    #[test]
    fn a_secret_in_a_url_is_not_repeated() {
        for url in ["s3://key:hunter2@b/p", "s3://b/p?secret=hunter2"] {
            let text = ObjectsUrl::parse(url).expect_err("refused").to_string();
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
