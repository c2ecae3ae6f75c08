//! What the folds keep of the users of one logical shard.
//!
//! Rows are folded sequentially in `seq`; a step back in one user's time counts as no time passed.
//! Learned vectors lie flat beside the rows.

mod row;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use eddyline_model::config::UserConfig;
use eddyline_schemas::event::{Event, EventType};
use eddyline_schemas::features::{SessionContext, UserFeatures};
use eddyline_schemas::id::{ItemRef, UserId};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::time::TimestampMs;

use super::canonical;
use super::registry::Registry;
use super::section::{self, InvalidSection, Reader};

/// One user.
#[derive(Debug, Default)]
pub struct UserRow {
    /// Nothing is known: erased, and not yet back.
    pub is_erased: bool,
    recent_views: Vec<ItemRef>,
    /// Items consumed, newest first, each once.
    pub history: Vec<ItemRef>,
    /// Positive events so far.
    pub history_length: u64,
    seen: Vec<ItemRef>,
    seen_by_age: VecDeque<ItemRef>,
    disliked: Vec<ItemRef>,
    recent_searches: Vec<String>,
    session: Option<SessionContext>,
    demographics: BTreeMap<String, String>,
    /// What the epoch in hand has changed so far; no part of state.
    pub changed: Changed,
    last_updated: TimestampMs,
    /// What the last documents of the user said.
    pub told: Told,
}

/// What the last documents of a user said and the rest of the row does not: derived from other
/// state as it was then, so it is kept for whoever starts from a snapshot. No part of the digest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    /// The last epoch that changed any of them.
    pub epoch: Epoch,
    /// Whether there was a vector among them, since the user was last erased.
    pub has_vector: bool,
    /// Prices as they were then: an item may change its own at any time.
    pub price_range: Option<(f64, f64)>,
}

/// What an epoch has changed of a user.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changed {
    /// Anything at all.
    pub any: bool,
    /// The learned vector.
    pub vector: bool,
    /// Events learned.
    pub learned: u32,
}

/// What an event is about, as far as the user's row is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Touched<'a> {
    /// The item, if any.
    pub item: Option<ItemRef>,
    /// Whether this is the event's first item: effects of the event itself happen once.
    pub is_first_line: bool,
    /// Event time.
    pub time: TimestampMs,
    /// Main category of the item.
    pub category: Option<&'a Arc<str>>,
}

impl UserRow {
    /// Folds one event, learning apart.
    pub fn fold(&mut self, config: &UserConfig, event: &Event, touched: Touched<'_>) {
        if touched.is_first_line {
            self.fold_event(config, event, touched.time);
        }
        self.last_updated = self.last_updated.max(touched.time);
        let Some(item) = touched.item else { return };
        if let (Some(session), Some(category)) = (&mut self.session, touched.category) {
            session.current_category = Some(Arc::clone(category));
        }
        match event.event_type {
            EventType::Impression => return,
            EventType::View => push_newest(&mut self.recent_views, item, config.recent_views),
            EventType::Dislike => push_newest(&mut self.disliked, item, config.disliked),
            EventType::Like => self.disliked.retain(|&other| other != item),
            _ => {}
        }
        self.mark_seen(item, config.seen);
    }

    fn fold_event(&mut self, config: &UserConfig, event: &Event, time: TimestampMs) {
        self.fold_session(config, event, time);
        if let (EventType::Search, Some(query)) = (&event.event_type, &event.query) {
            self.recent_searches.retain(|known| known != query);
            self.recent_searches.insert(0, query.clone());
            self.recent_searches.truncate(config.recent_searches);
        }
        if event.event_type == EventType::Profile {
            self.demographics.clone_from(&event.profile);
        }
    }

    fn fold_session(&mut self, config: &UserConfig, event: &Event, time: TimestampMs) {
        if matches!(event.event_type, EventType::Impression | EventType::Profile) {
            return;
        }
        let goes_on = self.session.as_ref().is_some_and(|session| {
            let same = match (&session.session_id, &event.session_id) {
                (Some(known), Some(named)) => known == named,
                (None, Some(_)) | (Some(_), None) | (None, None) => true,
            };
            same && time.since(session.last_event) <= config.session_gap_ms()
        });
        if !goes_on {
            self.session = Some(SessionContext {
                session_id: None,
                session_start: time,
                last_event: time,
                page_views_in_session: 0,
                current_category: None,
            });
        }
        let Some(session) = &mut self.session else { return };
        session.last_event = session.last_event.max(time);
        session.page_views_in_session += u32::from(event.event_type == EventType::View);
        if let Some(id) = &event.session_id {
            session.session_id = Some(id.clone());
        }
    }

    /// Whether the user has had anything to do with `item`.
    #[must_use]
    pub fn has_seen(&self, item: ItemRef) -> bool {
        self.seen.binary_search(&item).is_ok()
    }

    /// Everything the user has had to do with, ascending.
    #[must_use]
    pub fn seen(&self) -> &[ItemRef] {
        &self.seen
    }

    /// Never to be recommended again, until `bound` newer items are.
    pub fn mark_seen(&mut self, item: ItemRef, bound: usize) {
        let Err(at) = self.seen.binary_search(&item) else { return };
        self.seen.insert(at, item);
        self.seen_by_age.push_back(item);
        if self.seen_by_age.len() > bound {
            let oldest = self.seen_by_age.pop_front().expect("it has just grown");
            if let Ok(at) = self.seen.binary_search(&oldest) {
                self.seen.remove(at);
            }
        }
    }

    /// Remembers a consumed item as the newest.
    pub fn remember(&mut self, config: &UserConfig, item: ItemRef) {
        push_newest(&mut self.history, item, config.history);
        self.history_length += 1;
    }

    /// Ends an epoch that changed the user: its documents are about to be told. `price_of` gives an
    /// item's price.
    pub fn tell(&mut self, epoch: Epoch, price_of: impl Fn(ItemRef) -> Option<f64>) -> Changed {
        let changed = std::mem::take(&mut self.changed);
        let recent = self.recent_views.iter().take(PRICED_VIEWS);
        let has_vector = !self.is_erased && (changed.vector || self.told.has_vector);
        let price_range = price_range(recent.filter_map(|&item| price_of(item)));
        self.told = Told { epoch, has_vector, price_range };
        changed
    }

    /// The document that serving reads.
    fn features(&self, config: &UserConfig) -> UserFeatures {
        let mut disliked = self.disliked.clone();
        disliked.sort_unstable();
        let ttl_ms = i64::from(config.feature_ttl_hours) * eddyline_schemas::time::HOUR_MS;
        UserFeatures {
            recent_views: self.recent_views.clone(),
            history: self.history.clone(),
            history_length: self.history_length,
            seen: Arc::from(self.seen.as_slice()),
            disliked: Arc::from(disliked),
            recent_searches: self.recent_searches.clone(),
            session: self.session.clone(),
            demographics: self.demographics.clone(),
            price_range: self.told.price_range,
            last_updated: self.last_updated,
            expires_at: self.last_updated.plus_ms(ttl_ms),
        }
    }

    fn write_canonical(&self, out: &mut Vec<u8>) {
        canonical::items(out, &self.recent_views);
        canonical::items(out, &self.history);
        out.extend_from_slice(&self.history_length.to_le_bytes());
        canonical::items(out, &self.seen);
        let by_age: Vec<ItemRef> = self.seen_by_age.iter().copied().collect();
        canonical::items(out, &by_age);
        canonical::items(out, &self.disliked);
        canonical::texts(out, self.recent_searches.iter().map(String::as_str));
        let pairs = self.demographics.iter().flat_map(|(key, value)| [key.as_str(), value]);
        canonical::texts(out, pairs);
        out.extend_from_slice(&self.last_updated.0.to_le_bytes());
        let Some(session) = &self.session else { return };
        out.extend_from_slice(&session.session_start.0.to_le_bytes());
        out.extend_from_slice(&session.last_event.0.to_le_bytes());
        out.extend_from_slice(&session.page_views_in_session.to_le_bytes());
        let id = session.session_id.as_ref().map_or("", |id| id.as_str());
        canonical::texts(out, [id, session.current_category.as_deref().unwrap_or("")]);
    }
}

/// Recent views whose prices make the price range: looking up every one costs two cache misses.
const PRICED_VIEWS: usize = 5;

fn push_newest(list: &mut Vec<ItemRef>, item: ItemRef, bound: usize) {
    match list.iter().position(|&other| other == item) {
        Some(at) => list[..=at].rotate_right(1),
        None => {
            list.insert(0, item);
            list.truncate(bound);
        }
    }
}

fn price_range(prices: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    prices.fold(None, |range: Option<(f64, f64)>, price| match range {
        None => Some((price, price)),
        Some((low, high)) => Some((low.min(price), high.max(price))),
    })
}

/// The users of one logical shard.
#[derive(Debug, Default)]
pub struct UserShard {
    /// Ranks by id hash.
    pub registry: Registry,
    /// Ids by rank. They outlive an erasure, so that what was derived can be taken back by name.
    pub ids: Vec<UserId>,
    /// Rows by rank.
    pub rows: Vec<UserRow>,
    /// Learned vectors, `dim` numbers a row.
    pub vectors: Vec<f32>,
    /// Optimiser state, one number a row.
    pub accumulators: Vec<f32>,
    /// Past events to learn again.
    pub reservoir: super::reservoir::Reservoir,
}

impl UserShard {
    /// The rank of a user, with a fresh row at first sight; `None` when the shard is full.
    pub fn enter(
        &mut self,
        dim: usize,
        hash: eddyline_schemas::id::IdHash,
        id: &UserId,
    ) -> Option<u32> {
        let (rank, is_new) = self.registry.rank(hash)?;
        if is_new {
            self.ids.push(id.clone());
            self.rows.push(UserRow::default());
            self.vectors.resize(self.vectors.len() + dim, 0.0);
            self.accumulators.push(0.0);
        }
        self.rows[rank as usize].is_erased = false;
        Some(rank)
    }

    /// The features document of a user; `None` of one that is erased.
    #[must_use]
    pub fn features(&self, config: &UserConfig, rank: u32) -> Option<Arc<UserFeatures>> {
        let row = &self.rows[rank as usize];
        (!row.is_erased).then(|| Arc::new(row.features(config)))
    }

    /// The learned vector of a user, as far as it was ever told.
    #[must_use]
    pub fn vector(&self, dim: usize, rank: u32) -> Option<Arc<[f32]>> {
        let at = rank as usize;
        self.rows[at].told.has_vector.then(|| Arc::from(&self.vectors[at * dim..(at + 1) * dim]))
    }

    /// Forgets all that is known of a user but the rank.
    pub fn erase(&mut self, dim: usize, rank: u32) {
        let at = rank as usize;
        // That the row changed in this epoch is about its document, which is yet to be sent.
        let changed = std::mem::take(&mut self.rows[at].changed);
        self.rows[at] = UserRow { is_erased: true, changed, ..UserRow::default() };
        self.vectors[at * dim..(at + 1) * dim].fill(0.0);
        self.accumulators[at] = 0.0;
        self.reservoir.forget(rank);
    }

    /// Writes the shard's part of a section.
    pub(crate) fn export(&self, out: &mut Vec<u8>) {
        section::count(out, self.rows.len());
        for (id, row) in self.ids.iter().zip(&self.rows) {
            section::text(out, id.as_str());
            row::export(row, out);
        }
        section::floats(out, &self.vectors);
        section::floats(out, &self.accumulators);
        self.reservoir.export(out);
    }

    /// Reads what [`Self::export`] wrote.
    pub(crate) fn import(from: &mut Reader<'_, '_>, dim: usize) -> Result<Self, InvalidSection> {
        from.part = "users";
        let user = |from: &mut Reader<'_, '_>| {
            let id = UserId::new(from.text()?).map_err(|_| InvalidSection("the id of a user"))?;
            Ok((id, row::import(from)?))
        };
        let users: Vec<(UserId, UserRow)> = from.list(60, user)?;
        let (ids, rows): (Vec<_>, Vec<_>) = users.into_iter().unzip();
        let vectors = from.floats(rows.len().checked_mul(dim).ok_or(InvalidSection("users"))?)?;
        let accumulators = from.floats(rows.len())?;
        let registry = Registry::of(ids.iter().map(UserId::hash));
        let registry = registry.ok_or(InvalidSection("a user that comes twice"))?;
        let reservoir = super::reservoir::Reservoir::import(from)?;
        Ok(Self { registry, ids, rows, vectors, accumulators, reservoir })
    }

    /// Rows in order of id.
    pub fn write_canonical(&self, dim: usize, out: &mut Vec<u8>) {
        let mut order: Vec<(&UserId, usize)> =
            self.ids.iter().enumerate().map(|(at, id)| (id, at)).collect();
        order.sort_unstable();
        for (id, at) in order {
            if self.rows[at].is_erased {
                continue;
            }
            canonical::texts(out, [id.as_str()]);
            self.rows[at].write_canonical(out);
            canonical::floats(out, &self.vectors[at * dim..(at + 1) * dim]);
            canonical::floats(out, &self.accumulators[at..=at]);
        }
        self.reservoir.write_canonical(out);
    }
}
