//! Names of keys in Redis: durable, never to change.
//!
//! Braces are literal and hold the hash tag, so that all keys of a user are in one slot:
//! `<namespace>user:{u42}:features`, `…:seen`, `…:preferences`, `<namespace>user_embedding:{u42}`.
//! `<namespace>watermark:{n}` is the watermark of the slot that the number n hashes to. All keys of
//! a lineage that is not the active one begin with `<lineage>/`.

use std::sync::LazyLock;

use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::Lineage;

use crate::features::StoreShard;
use crate::features::shards::{REDIS_SLOTS, redis_slot};

/// The keys of a user's document, in the order in which they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Features,
    Seen,
    Preferences,
    Vector,
}

/// All of them.
pub(super) const PARTS: [Part; 4] = [Part::Features, Part::Seen, Part::Preferences, Part::Vector];

/// Makes the names of a store's keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// `candidate` is the lineage of a store that is not the active one.
    pub(super) fn new(namespace: &str, candidate: Option<Lineage>) -> Self {
        let lineage = candidate.map(|lineage| format!("{lineage}/")).unwrap_or_default();
        Self { prefix: lineage + namespace }
    }

    pub(super) fn part(&self, part: Part, user: &UserId) -> String {
        let (prefix, user) = (&self.prefix, user.as_str());
        match part {
            Part::Features => format!("{prefix}user:{{{user}}}:features"),
            Part::Seen => format!("{prefix}user:{{{user}}}:seen"),
            Part::Preferences => format!("{prefix}user:{{{user}}}:preferences"),
            Part::Vector => format!("{prefix}user_embedding:{{{user}}}"),
        }
    }

    pub(super) fn watermark(&self, shard: StoreShard) -> String {
        format!("{}watermark:{{{}}}", self.prefix, TAGS[usize::from(shard.0)])
    }
}

/// For each slot, the least number whose decimal digits hash to it.
static TAGS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut tags = vec![None; REDIS_SLOTS];
    let mut left = REDIS_SLOTS;
    for number in 0_u32.. {
        let slot = redis_slot(number.to_string().as_bytes());
        let tag = &mut tags[usize::from(slot.0)];
        if tag.is_none() {
            *tag = Some(number);
            left -= 1;
        }
        if left == 0 {
            break;
        }
    }
    tags.into_iter().map(|tag| tag.expect("the loop ends with the last slot")).collect()
});

#[cfg(test)]
mod tests {
    use super::*;
    use eddyline_schemas::record::Digest;

    #[test]
    fn names_are_those_of_the_design() {
        let user = UserId::new("u42").expect("a valid id");
        let keys = Keys::new("shop:", None);
        let names = PARTS.map(|part| keys.part(part, &user));
        let want = [
            "shop:user:{u42}:features",
            "shop:user:{u42}:seen",
            "shop:user:{u42}:preferences",
            "shop:user_embedding:{u42}",
        ];
        assert_eq!(names, want);
        let lineage = Lineage(Digest([0xab; 32]));
        let name = Keys::new("", Some(lineage)).part(Part::Vector, &user);
        assert_eq!(name, format!("{}/user_embedding:{{u42}}", "ab".repeat(32)));
    }

    /// The tags are fixed: a change would forget every watermark.
    #[test]
    fn every_slot_has_a_tag() {
        for (slot, tag) in (0..).zip(TAGS.iter()) {
            assert_eq!(redis_slot(tag.to_string().as_bytes()), StoreShard(slot));
        }
        assert_eq!(Keys::new("", None).watermark(StoreShard(12_739)), "watermark:{26349}");
    }
}
