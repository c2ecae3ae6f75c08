//! Where the objects of snapshots lie.

use eddyline_connect::objects::ObjectName;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::snapshot::SnapshotPart;

/// Names of one lineage's objects.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) folder: ObjectName,
    pub(super) manifests: ObjectName,
    pub(super) parts: ObjectName,
}

fn name(text: String) -> ObjectName {
    ObjectName::new(text).expect("digits and plain words make a name")
}

impl Names {
    /// The folder of all lineages.
    pub(super) fn all() -> ObjectName {
        name("snapshots".to_owned())
    }

    pub(super) fn new(lineage: Lineage) -> Self {
        let folder = format!("snapshots/{lineage}");
        let (manifests, parts) = (format!("{folder}/manifests"), format!("{folder}/parts"));
        Self { folder: name(folder), manifests: name(manifests), parts: name(parts) }
    }

    /// Of a manifest with these bytes: names of equal content are equal, and order by epoch.
    pub(super) fn manifest(&self, epoch: Epoch, bytes: &[u8]) -> ObjectName {
        name(format!("{}/{:020}-{}", self.manifests, epoch.0, Digest::of(bytes)))
    }

    pub(super) fn part(&self, part: &SnapshotPart) -> ObjectName {
        name(format!("{}/{:020}-{}", self.parts, part.epoch.0, part.digest))
    }
}

/// The epoch and the digest in the name of a manifest or a part.
pub(super) fn parse(name: &ObjectName) -> Option<(Epoch, Digest)> {
    let (epoch, digest) = name.last_segment().split_once('-')?;
    Some((Epoch(epoch.parse().ok()?), Digest::from_hex(digest)?))
}
