//! Reading one snapshot: every byte under its checksum, parts and shards side by side.

use std::collections::BTreeSet;
use std::sync::Arc;

use eddyline_connect::objects::{ObjectError, ObjectName, ObjectStore};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::codec::{decode_manifest, decode_part};
use eddyline_schemas::id::SHARDS;
use eddyline_schemas::lineage::{ALGORITHM_VERSION, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::snapshot::{SnapshotManifest, SnapshotPart};

use super::names::Names;
use super::restored::gate_from;
use super::{InvalidSnapshot, Restored, parallel};
use crate::state::Tables;
use crate::state::section::InvalidSection;
use crate::state::shard::ShardState;

/// What kept a snapshot from being read: itself, or the store.
#[derive(Debug)]
pub(super) enum LoadError {
    Invalid(InvalidSnapshot),
    Objects(ObjectError),
}

impl From<InvalidSnapshot> for LoadError {
    fn from(error: InvalidSnapshot) -> Self {
        Self::Invalid(error)
    }
}

impl From<ObjectError> for LoadError {
    fn from(error: ObjectError) -> Self {
        Self::Objects(error)
    }
}

/// Reads snapshots of one lineage.
pub(super) struct Loader<'a> {
    pub(super) objects: &'a dyn ObjectStore,
    pub(super) core: &'a CoreConfig,
    pub(super) names: &'a Names,
    pub(super) lineage: Lineage,
}

impl Loader<'_> {
    /// A manifest that is sound, of this history and complete.
    pub(super) fn manifest(&self, name: &ObjectName) -> Result<SnapshotManifest, LoadError> {
        let manifest = self.any_manifest(name)?;
        self.check(name, &manifest)?;
        Ok(manifest)
    }

    /// As [`Self::manifest`], whatever its configuration: enough to know what it needs.
    pub(super) fn any_manifest(&self, name: &ObjectName) -> Result<SnapshotManifest, LoadError> {
        let bytes = self.objects.get(name)?;
        let bytes = bytes.ok_or_else(|| InvalidSnapshot::Missing(name.clone()))?;
        let corrupt = |source| InvalidSnapshot::Manifest { name: name.clone(), source };
        let manifest = decode_manifest(&bytes).map_err(corrupt)?;
        self.check_whole(name, &manifest)?;
        Ok(manifest)
    }

    fn check(&self, name: &ObjectName, manifest: &SnapshotManifest) -> Result<(), InvalidSnapshot> {
        let pairs = [
            (
                "[core] configuration",
                manifest.core_config.to_string(),
                self.core.hash().to_string(),
            ),
            (
                "algorithm version",
                manifest.algorithm_version.to_string(),
                ALGORITHM_VERSION.to_string(),
            ),
        ];
        for (what, held, wanted) in pairs {
            if held != wanted {
                return Err(InvalidSnapshot::Foreign { name: name.clone(), what, held, wanted });
            }
        }
        Ok(())
    }

    fn check_whole(
        &self,
        name: &ObjectName,
        manifest: &SnapshotManifest,
    ) -> Result<(), InvalidSnapshot> {
        if manifest.lineage != self.lineage {
            let (held, wanted) = (manifest.lineage.to_string(), self.lineage.to_string());
            let name = name.clone();
            return Err(InvalidSnapshot::Foreign { name, what: "lineage", held, wanted });
        }
        let mut shards: Vec<u8> =
            manifest.parts.iter().flat_map(|part| part.shards.iter().copied()).collect();
        shards.sort_unstable();
        if !shards.into_iter().map(usize::from).eq(0..SHARDS) {
            return Err(InvalidSnapshot::Shards(name.clone()));
        }
        Ok(())
    }

    /// All state that a manifest names.
    pub(super) fn load(
        &self,
        name: &ObjectName,
        manifest: SnapshotManifest,
    ) -> Result<Restored, LoadError> {
        let tables = Tables::new(self.core);
        let parts = &manifest.parts;
        parallel::each(parts.len(), |names: &mut BTreeSet<Arc<str>>, at| {
            self.load_part(&parts[at], &tables, names)
        })?;
        let gate = gate_from(self.core, &manifest.gate);
        *tables.gate.write() = gate.ok_or_else(|| InvalidSnapshot::Gate(name.clone()))?;
        Ok(Restored { tables, manifest })
    }

    fn load_part(
        &self,
        part: &SnapshotPart,
        tables: &Tables,
        names: &mut BTreeSet<Arc<str>>,
    ) -> Result<(), LoadError> {
        let name = self.names.part(part);
        let bytes = self.objects.get(&name)?;
        let bytes = bytes.ok_or_else(|| InvalidSnapshot::Missing(name.clone()))?;
        let corrupt = |source| InvalidSnapshot::Part { name: name.clone(), source };
        let sections = decode_part(&bytes, part.digest).map_err(corrupt)?;
        if !sections.iter().map(|section| section.shard).eq(part.shards.iter().copied()) {
            return Err(InvalidSnapshot::Shards(name).into());
        }
        for section in &sections {
            let shard = section.shard;
            let wrong = |source| InvalidSnapshot::Section { name: name.clone(), shard, source };
            let rows = section.bytes_of(&bytes).map_err(corrupt)?;
            let state = ShardState::import(rows, self.core.factors.dim, names).map_err(wrong)?;
            tables.set_shard(usize::from(shard), state);
        }
        Ok(())
    }

    /// Whether a part is there and is what its name says, down to the last byte.
    pub(super) fn is_intact(&self, part: &SnapshotPart) -> Result<bool, ObjectError> {
        let Some(bytes) = self.objects.get(&self.names.part(part))? else { return Ok(false) };
        let Ok(sections) = decode_part(&bytes, part.digest) else { return Ok(false) };
        Ok(sections.iter().all(|section| section.bytes_of(&bytes).is_ok()))
    }
}

/// Tables from the section of each shard.
pub(super) fn tables_from<'a, E: Send>(
    core: &CoreConfig,
    section: impl Fn(usize) -> Result<&'a [u8], E> + Sync,
    wrong: impl Fn(u8, InvalidSection) -> E + Sync,
) -> Result<Tables, E> {
    let tables = Tables::new(core);
    parallel::each(SHARDS, |names: &mut BTreeSet<Arc<str>>, shard| {
        let state = ShardState::import(section(shard)?, core.factors.dim, names);
        tables.set_shard(shard, state.map_err(|source| wrong(shard as u8, source))?);
        Ok(())
    })?;
    Ok(tables)
}

/// The digest of each shard of an export, by way of reading it as recovery will.
pub(super) fn digests_of(
    sections: &[Vec<u8>],
    dim: usize,
) -> Result<Vec<Digest>, (u8, InvalidSection)> {
    #[derive(Default)]
    struct Scratch {
        names: BTreeSet<Arc<str>>,
        rows: Vec<u8>,
    }
    parallel::each(sections.len(), |scratch: &mut Scratch, shard| {
        let state = ShardState::import(&sections[shard], dim, &mut scratch.names);
        Ok(state.map_err(|source| (shard as u8, source))?.digest(dim, &mut scratch.rows))
    })
}
