//! The snapshots of an object store: writing one, reading the newest that is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::crash_point;
use eddyline_connect::objects::{ObjectName, ObjectStore};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::codec::{encode_manifest, encode_part_header};
use eddyline_schemas::id::SHARDS;
use eddyline_schemas::lineage::{ALGORITHM_VERSION, Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::snapshot::{LogPosition, SnapshotManifest, SnapshotPart};

use super::load::{LoadError, Loader, digests_of};
use super::names::{Names, parse};
use super::restored::gate_from;
use super::{Export, Restored, SnapshotError, parallel};
use crate::state::shard::tables_digest;

/// A part is made of as many shards as stay below this; a shard is never divided.
const PART_BYTES: u64 = 32 << 20;

/// Snapshots in an object store. See [`crate::snapshot`] for how it is used.
#[derive(Clone)]
pub struct SnapshotStore {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) core: Arc<CoreConfig>,
    part_bytes: u64,
}

/// What writing a snapshot took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The manifest.
    pub manifest: ObjectName,
    /// As of the end of which epoch.
    pub epoch: Epoch,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Bytes of the parts that were written anew.
    pub written_bytes: u64,
    /// Parts, and how many of them were there already.
    pub parts: (usize, usize),
    /// Digest of the state that was written.
    pub state_digest: Digest,
}

impl SnapshotStore {
    /// Snapshots of states of this configuration.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>, core: &CoreConfig) -> Self {
        Self { objects, core: Arc::new(core.clone()), part_bytes: PART_BYTES }
    }

    /// With parts of another size. It changes objects, never what they hold.
    #[must_use]
    pub fn with_part_bytes(self, part_bytes: u64) -> Self {
        Self { part_bytes, ..self }
    }

    /// Writes a snapshot: its parts, then its manifest. To be called only once every delta up to
    /// its epoch is acknowledged (I5). May be repeated after an error; a repeat writes what is
    /// missing.
    pub fn write(&self, export: Export, position: LogPosition) -> Result<Written, SnapshotError> {
        let (state, fold) = (export.epoch(), position.fold.epoch());
        if state != fold {
            return Err(SnapshotError::OtherEpoch { position: fold, state });
        }
        let (held, wanted) = (export.core_config, self.core.hash());
        if held != wanted {
            return Err(SnapshotError::OtherCore { held, wanted });
        }
        let names = Names::new(export.lineage());
        let state_digest = self.state_digest(&export)?;
        let mut manifest = export.manifest(position, state_digest);
        let (parts, written) = self.write_parts(&names, &export)?;
        drop(export);
        crash_point!("parts-written");
        manifest.parts = parts;
        let bytes = encode_manifest(&manifest);
        let name = names.manifest(manifest.epoch, &bytes);
        self.objects.put_if_absent(&name, Bytes::from(bytes))?;
        crash_point!("manifest-written");
        self.check_presence(&names, &manifest.parts)?;
        let written_bytes = written.iter().map(|at| manifest.parts[*at].size).sum();
        let parts = (manifest.parts.len(), manifest.parts.len() - written.len());
        let bytes = manifest.parts.iter().map(|part| part.size).sum();
        let epoch = manifest.epoch;
        Ok(Written { manifest: name, epoch, bytes, written_bytes, parts, state_digest })
    }

    /// Reads every section as recovery will, so that no snapshot is committed that could not be
    /// read, and digests what was read.
    fn state_digest(&self, export: &Export) -> Result<Digest, SnapshotError> {
        let unreadable = |(shard, source)| SnapshotError::Unreadable { shard, source };
        let dim = self.core.factors.dim;
        let shards = digests_of(&export.sections, dim).map_err(unreadable)?;
        let gate = gate_from(&self.core, &export.gate);
        let gate = gate.ok_or(SnapshotError::Gate(export.gate.gains.len()))?;
        let tables = tables_digest(shards.into_iter(), &gate);
        Ok(export.committer.digest_of(tables).state_digest)
    }

    /// The parts, and which of them were not there yet.
    fn write_parts(
        &self,
        names: &Names,
        export: &Export,
    ) -> Result<(Vec<SnapshotPart>, Vec<usize>), SnapshotError> {
        let mut there: BTreeMap<Digest, Epoch> = BTreeMap::new();
        for info in self.objects.list(&names.parts)? {
            there.extend(parse(&info.name).map(|(epoch, digest)| (digest, epoch)));
        }
        let shards_each = shards_each(export.bytes(), self.part_bytes);
        let parts = parallel::each(SHARDS / shards_each, |(): &mut (), at| {
            let shards = at * shards_each..(at + 1) * shards_each;
            self.write_part(names, export, (shards, &there))
        })?;
        let written = parts.iter().enumerate().filter(|(_, (_, is_new))| *is_new);
        let written = written.map(|(at, _)| at).collect();
        Ok((parts.into_iter().map(|(part, _)| part).collect(), written))
    }

    fn write_part(
        &self,
        names: &Names,
        export: &Export,
        (shards, there): (std::ops::Range<usize>, &BTreeMap<Digest, Epoch>),
    ) -> Result<(SnapshotPart, bool), SnapshotError> {
        let sections = &export.sections[shards.clone()];
        let entry = |(shard, section): (usize, &Vec<u8>)| {
            (shard as u8, section.len() as u64, Digest::of(section))
        };
        let entries: Vec<_> = shards.clone().zip(sections).map(entry).collect();
        let header = encode_part_header(&entries);
        let size = header.bytes.len() + sections.iter().map(Vec::len).sum::<usize>();
        let mut part = SnapshotPart {
            epoch: export.epoch(),
            digest: header.digest,
            size: size as u64,
            shards: shards.map(|shard| shard as u8).collect(),
        };
        if let Some(&epoch) = there.get(&part.digest) {
            let known = SnapshotPart { epoch, ..part.clone() };
            // It will be the only copy of this state, so it is trusted only after a look.
            if self.loader(names, export.lineage()).is_intact(&known)? {
                return Ok((known, false));
            }
            // Under its own epoch, a damaged object of this very name would be in the way.
            part.epoch = part.epoch.max(epoch.next());
        }
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&header.bytes);
        sections.iter().for_each(|section| bytes.extend_from_slice(section));
        self.objects.put_if_absent(&names.part(&part), Bytes::from(bytes))?;
        Ok((part, true))
    }

    fn check_presence(&self, names: &Names, parts: &[SnapshotPart]) -> Result<(), SnapshotError> {
        let listed = self.objects.list(&names.parts)?;
        let there: BTreeSet<ObjectName> = listed.into_iter().map(|info| info.name).collect();
        match parts.iter().map(|part| names.part(part)).find(|name| !there.contains(name)) {
            None => Ok(()),
            Some(name) => Err(SnapshotError::PartVanished(name)),
        }
    }

    /// The newest snapshot of `lineage` that is valid; `None` when there is none at all.
    pub fn newest_valid(&self, lineage: Lineage) -> Result<Option<Restored>, SnapshotError> {
        self.newest_where(lineage, |_| Ok(true))
    }

    /// As [`Self::newest_valid`], of those that `suits` says yes to.
    pub(super) fn newest_where<E: From<SnapshotError>>(
        &self,
        lineage: Lineage,
        mut suits: impl FnMut(&SnapshotManifest) -> Result<bool, E>,
    ) -> Result<Option<Restored>, E> {
        let names = Names::new(lineage);
        let loader = self.loader(&names, lineage);
        let mut newest = None;
        let mut manifests = self.objects.list(&names.manifests).map_err(SnapshotError::from)?;
        manifests.reverse();
        for info in &manifests {
            let loaded = match loader.manifest(&info.name) {
                Ok(manifest) if !suits(&manifest)? => continue,
                Ok(manifest) => loader.load(&info.name, manifest),
                Err(error) => Err(error),
            };
            match loaded {
                Ok(restored) => return Ok(Some(restored)),
                Err(LoadError::Objects(error)) => return Err(SnapshotError::from(error).into()),
                Err(LoadError::Invalid(error)) => {
                    tracing::error!(
                        manifest = %info.name,
                        error = &error as &dyn std::error::Error,
                        "a snapshot cannot be used, trying the one before"
                    );
                    newest.get_or_insert(Box::new(error));
                }
            }
        }
        let (tried, folder) = (manifests.len(), names.folder);
        match newest {
            None => Ok(None),
            Some(newest) => Err(SnapshotError::NoneValid { lineage, tried, folder, newest }.into()),
        }
    }

    pub(super) fn loader<'a>(&'a self, names: &'a Names, lineage: Lineage) -> Loader<'a> {
        Loader { objects: &*self.objects, core: &self.core, names, lineage }
    }
}

impl Export {
    /// The manifest, but for its parts.
    pub(super) fn manifest(&self, position: LogPosition, state_digest: Digest) -> SnapshotManifest {
        let mut position = position;
        // What is bound is past being passed over.
        let bound = position.fold.bound().clone();
        position.skipped.retain(|(at, offset)| *offset >= bound.get(at).copied().unwrap_or(0));
        SnapshotManifest {
            lineage: self.lineage(),
            epoch: self.epoch(),
            algorithm_version: ALGORITHM_VERSION,
            core_config: self.core_config,
            state_digest,
            delta_digest: self.committer.chain(),
            logical_time: self.committer.logical_time(),
            counts: self.counts(),
            gate: self.gate.clone(),
            parts: Vec::new(),
            position,
        }
    }
}

/// How many shards make a part: a power of two that depends on nothing but the size of the state,
/// and changes rarely, so that parts stay comparable from snapshot to snapshot.
fn shards_each(bytes: u64, part_bytes: u64) -> usize {
    let mut shards = SHARDS;
    while shards > 1 && bytes / (SHARDS / shards) as u64 > part_bytes {
        shards /= 2;
    }
    shards
}
