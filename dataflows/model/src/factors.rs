//! The factor model: a user is x = p_u + Σ_k w_k·c_{i_k}, an item's score is x·v_i.
//!
//! p_u is the user's own vector, c the context vectors of the user's last positive items
//! (newest first, weights w_k falling), v the item's vector: so a click counts in the very next
//! answer with no training step. Learned by stochastic gradient steps on a softmax over the true
//! item and uniformly drawn ones, with one Adagrad accumulator per row.
//!
//! An event is learned in two phases, so that the result does not depend on the number of workers:
//! [`mod@learn`] runs at the user's owner, reads item rows as of the epoch's start, moves p_u at once
//! and writes messages into an [`outbox::Outbox`]; [`mod@apply`] runs at each item's owner in sequence order and
//! takes the residual *again* with the row as it is by then, which keeps big epochs stable.
//!
//! Papers: Duchi et al., *Adaptive subgradient methods*, JMLR 2011; Jean et al., ACL 2015 (sampled softmax);
//! Kabbur et al., *FISM*, KDD 2013 (items as the user's representation).

pub mod apply;
pub mod config;
pub mod initial;
pub mod learn;
pub mod outbox;
pub mod represent;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "std is the oracle")]
mod tests;

/// One learned row and its optimiser's state, borrowed from the engine's flat storage.
#[derive(Debug)]
pub struct Row<'a> {
    /// `dim` numbers: a user's, an item's or a context vector.
    pub vector: &'a mut [f32],
    /// Adagrad's running sum of the mean squared gradient; a new row starts at 0.
    pub accumulator: &'a mut f32,
}
