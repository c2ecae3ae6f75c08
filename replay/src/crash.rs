//! Where an archiver or a compaction may be told to die: the names of this crate's crash points.

/// What [`eddyline_connect::crash_point!`] is called with in this crate. Those of an archiver begin
/// with `archive-`, those of a compaction with `compact-`.
pub const CRASH_POINTS: &[&str] = &[
    "archive-put",
    "archive-file",
    "archive-commit",
    "archive-committed",
    "compact-merge",
    "compact-file",
    "compact-commit",
    "compact-committed",
    "compact-deleted",
];

#[cfg(test)]
mod tests {
    use super::CRASH_POINTS;

    #[test]
    fn every_crash_point_is_named_once() {
        let sources = [include_str!("archiver.rs"), include_str!("archive/compact.rs")];
        let after = sources.iter().flat_map(|text| text.split("crash_point!(\"").skip(1));
        let mut found: Vec<&str> = after.filter_map(|text| text.split('"').next()).collect();
        let mut named = CRASH_POINTS.to_vec();
        found.sort_unstable();
        named.sort_unstable();
        assert_eq!(found, named);
    }
}
