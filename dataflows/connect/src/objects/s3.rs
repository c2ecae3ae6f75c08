//! Objects in a bucket of S3 or of a server that speaks its protocol.
//!
//! Only create-if-absent is used (`If-None-Match: *`), which S3 and every serious server honour;
//! [`super::open_objects`] tries it out, since some ignore the condition silently. The port is
//! synchronous: calls are carried out on two threads of the store's own runtime.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore as _, ObjectStoreExt, PutMode, RetryConfig,
};
use tokio::runtime::Runtime;

use super::{ObjectError, ObjectInfo, ObjectName, ObjectStore};
use crate::log::with_sources;

/// Of one request; an object is some tens of megabytes at most.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Requests that may be repeated blindly are, for about this long.
const RETRY_FOR: Duration = Duration::from_secs(30);
const RETRIES: usize = 4;
/// Puts whose outcome is unknown are tried again, then read back.
const PUT_ATTEMPTS: usize = 3;

/// Where the bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) name: String,
    /// Without slashes around; empty for the whole bucket.
    pub(super) prefix: String,
    /// Of a server that is not Amazon's.
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
}

/// See the module doc.
pub(super) struct S3Objects {
    store: Arc<AmazonS3>,
    bucket: Bucket,
    /// Taken only when dropped.
    runtime: Option<Runtime>,
}

impl S3Objects {
    /// Makes a client; nothing is sent yet. Credentials come from the environment, as for every
    /// other S3 client: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, …
    pub(super) fn new(bucket: Bucket) -> Result<Self, ObjectError> {
        // Two providers may be in the tree; whoever installs one first has won, and all is well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES,
            retry_timeout: RETRY_FOR,
        };
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(&bucket.name);
        if let Some(endpoint) = &bucket.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &bucket.region {
            builder = builder.with_region(region);
        }
        let is_plain = std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| url.starts_with("http:"))
            || std::env::var("AWS_ENDPOINT").is_ok_and(|url| url.starts_with("http:"))
            || bucket.endpoint.as_ref().is_some_and(|url| url.starts_with("http:"));
        let options = ClientOptions::new()
            .with_allow_http(is_plain)
            .with_timeout(REQUEST_TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT);
        let built = builder.with_client_options(options).with_retry(retry).build();
        let refused = |reason: String| ObjectError::Url { url: url_of(&bucket), reason };
        let store = Arc::new(built.map_err(|error| refused(error.to_string()))?);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("eddyline-s3").enable_all().build();
        let runtime = Some(runtime.map_err(|error| refused(error.to_string()))?);
        Ok(Self { store, bucket, runtime })
    }

    /// Waits for a request. Works on every thread, also on one that serves async tasks.
    fn wait<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        let (to, from) = std::sync::mpsc::sync_channel(1);
        let runtime = self.runtime.as_ref().expect("only drop takes it");
        runtime.spawn(async move {
            // The caller waits below, so it is there.
            let _ = to.send(task.await);
        });
        from.recv().expect("a request ends in a reply or an error")
    }

    fn path(&self, name: &ObjectName) -> Path {
        match self.bucket.prefix.as_str() {
            "" => Path::from(name.as_str()),
            prefix => Path::from(format!("{prefix}/{name}")),
        }
    }

    fn name_of(&self, path: &Path) -> Option<ObjectName> {
        let text = path.as_ref();
        let below = match self.bucket.prefix.as_str() {
            "" => text,
            prefix => text.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        ObjectName::new(below).ok()
    }

    fn failed(&self, doing: String, error: object_store::Error) -> ObjectError {
        let store = url_of(&self.bucket);
        let said = with_sources(&error);
        let no_rights = "these credentials do not allow it; check AWS_ACCESS_KEY_ID, \
            AWS_SECRET_ACCESS_KEY and the policy of the bucket";
        let reason = match &error {
            object_store::Error::NotFound { .. } => no_bucket(&self.bucket),
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => no_rights.to_owned(),
            // What a list is told has no kind of its own.
            _ if said.contains("NoSuchBucket") => no_bucket(&self.bucket),
            _ if said.contains("403 Forbidden") || said.contains("401 Unauthorized") => {
                no_rights.to_owned()
            }
            _ => return ObjectError::Unavailable { store, doing, source: root(&error).into() },
        };
        ObjectError::Refused { store, doing, reason, source: Box::new(error) }
    }

    fn read(&self, name: &ObjectName) -> Result<Option<Bytes>, object_store::Error> {
        let (store, path) = (Arc::clone(&self.store), self.path(name));
        let read = self.wait(async move { store.get(&path).await?.bytes().await });
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, name: &ObjectName, bytes: &Bytes) -> Result<(), object_store::Error> {
        let (store, path, bytes) = (Arc::clone(&self.store), self.path(name), bytes.clone());
        self.wait(async move {
            store.put_opts(&path, bytes.into(), PutMode::Create.into()).await.map(drop)
        })
    }
}

/// What went wrong at the bottom: every layer above repeats it.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

fn no_bucket(bucket: &Bucket) -> String {
    format!("there is no bucket {:?}; create it, or name another", bucket.name)
}

/// The URL, for people; credentials are never part of it.
fn url_of(bucket: &Bucket) -> String {
    let endpoint = bucket.endpoint.as_ref().map(|endpoint| format!("?endpoint={endpoint}"));
    let slash = if bucket.prefix.is_empty() { "" } else { "/" };
    format!("s3://{}{slash}{}{}", bucket.name, bucket.prefix, endpoint.unwrap_or_default())
}

impl ObjectStore for S3Objects {
    fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), ObjectError> {
        let failed = |error| self.failed(format!("put object {name}"), error);
        for attempt in 1.. {
            let error = match self.create(name, &bytes) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let may_exist = matches!(
                error,
                object_store::Error::AlreadyExists { .. }
                    | object_store::Error::Precondition { .. }
            );
            // A reply that was lost, or somebody else's put: what is there decides. Two puts at
            // once may both be told to come again, hence the further attempts.
            match if may_exist { self.read(name).map_err(failed)? } else { None } {
                Some(held) if held == bytes => return Ok(()),
                Some(_) => return Err(ObjectError::Conflict { name: name.clone() }),
                None => {}
            }
            let is_transient = matches!(error, object_store::Error::Generic { .. }) || may_exist;
            if !is_transient || attempt == PUT_ATTEMPTS {
                return Err(failed(error));
            }
        }
        unreachable!("the loop ends with the last attempt")
    }

    fn get(&self, name: &ObjectName) -> Result<Option<Bytes>, ObjectError> {
        self.read(name).map_err(|error| self.failed(format!("get object {name}"), error))
    }

    fn list(&self, folder: &ObjectName) -> Result<Vec<ObjectInfo>, ObjectError> {
        let (store, path) = (Arc::clone(&self.store), self.path(folder));
        let listed = self.wait(async move {
            use futures_util::TryStreamExt;
            store.list(Some(&path)).try_collect::<Vec<_>>().await
        });
        let listed = listed.map_err(|error| self.failed(format!("list {folder}"), error))?;
        let info =
            |meta: object_store::ObjectMeta| Some((self.name_of(&meta.location)?, meta.size));
        let found = listed.into_iter().filter_map(info);
        let mut found: Vec<_> = found.map(|(name, bytes)| ObjectInfo { name, bytes }).collect();
        found.sort();
        Ok(found)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        let (store, path) = (Arc::clone(&self.store), self.path(name));
        match self.wait(async move { store.delete(&path).await }) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(format!("delete object {name}"), error)),
        }
    }
}

impl Drop for S3Objects {
    /// A runtime that is dropped waits for its tasks, which an async thread must not do.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
