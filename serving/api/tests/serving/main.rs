//! The serving state and the recommender over a small shop, made of deltas by hand.

mod answers;
mod bootstrap;
mod laws;
mod shop;
mod speed;
mod state;
mod store;
mod switching;
