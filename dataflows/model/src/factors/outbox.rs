//! What the read phase sends to the items' owners.
//!
//! Vectors lie once in a flat arena and are named by number; the engine routes updates by
//! `item.shard()` and ships the vectors that the other side needs. Reused from epoch to epoch.

use crate::item::ItemRef;
use crate::math::sigmoid_f32;

/// What an item's owner needs to take the residual again: `label - sigmoid(x·v - log_rest)`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Target {
    /// 1 for a positive, 0 for a drawn or disliked item.
    pub label: f32,
    /// Natural logarithm of the summed exponentials of all other scores in the softmax.
    pub log_rest: f32,
    /// Weight of the event.
    pub weight: f32,
}

impl Target {
    /// label - probability, times the weight, for an item whose score is x·v.
    pub fn residual(&self, score: f32) -> f32 {
        self.weight * (self.label - sigmoid_f32(score - self.log_rest))
    }
}

/// One step for an item's vector.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ItemUpdate {
    /// Whose vector.
    pub item: ItemRef,
    /// Number of x in the outbox's arena.
    pub x: u32,
    /// The residual's scalars.
    pub target: Target,
}

/// One step for an item's context vector, along `weight · gradient`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ContextUpdate {
    /// Whose context vector.
    pub item: ItemRef,
    /// Number of the gradient (of the log-likelihood by x) in the outbox's arena.
    pub gradient: u32,
    /// The place's recency weight.
    pub weight: f32,
}

/// Messages of the read phase, in sequence order.
#[derive(Clone, Debug)]
pub struct Outbox {
    dim: usize,
    arena: Vec<f32>,
    /// Steps for item vectors.
    pub items: Vec<ItemUpdate>,
    /// Steps for context vectors.
    pub contexts: Vec<ContextUpdate>,
    /// x·v of the event's items, in the order of their updates: scratch of one event.
    pub(super) scores: Vec<f32>,
    /// Items drawn against that of the event: scratch of one event.
    pub(super) drawn: Vec<ItemRef>,
}

impl Outbox {
    /// An empty outbox for vectors of `dim` numbers.
    pub fn new(dim: usize) -> Self {
        let (items, contexts) = (Vec::new(), Vec::new());
        let (arena, scores, drawn) = (Vec::new(), Vec::new(), Vec::new());
        Self { dim, arena, items, contexts, scores, drawn }
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.items.clear();
        self.contexts.clear();
    }

    /// A vector of the arena.
    pub fn vector(&self, number: u32) -> &[f32] {
        let start = number as usize * self.dim;
        &self.arena[start..start + self.dim]
    }

    /// How many vectors the arena holds.
    pub fn vectors(&self) -> usize {
        self.arena.len() / self.dim
    }

    /// Numbers in a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All vectors, one after the other.
    pub fn arena(&self) -> &[f32] {
        &self.arena
    }

    /// An outbox made elsewhere; `None` when an update names a vector that is not there.
    pub fn from_parts(
        dim: usize,
        arena: Vec<f32>,
        (items, contexts): (Vec<ItemUpdate>, Vec<ContextUpdate>),
    ) -> Option<Self> {
        let vectors = arena.len().checked_div(dim)?;
        let named = items.iter().map(|update| update.x);
        let mut named = named.chain(contexts.iter().map(|update| update.gradient));
        let is_whole = vectors * dim == arena.len() && named.all(|x| (x as usize) < vectors);
        is_whole.then(|| Self { arena, items, contexts, ..Self::new(dim) })
    }

    /// Adds a zero vector and gives its number.
    pub(super) fn push_zero(&mut self) -> u32 {
        let number = self.vectors() as u32;
        self.arena.resize(self.arena.len() + self.dim, 0.0);
        number
    }

    pub(super) fn vector_mut(&mut self, number: u32) -> &mut [f32] {
        let start = number as usize * self.dim;
        &mut self.arena[start..start + self.dim]
    }
}
