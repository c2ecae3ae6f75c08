//! The stream of the protocol `prequential-v1`: the first positive consumption of each (user,
//! item), in the order of (timestamp, row).

use std::collections::HashSet;

use eddyline_schemas::event::{Event, EventType};

use super::Sourced;

/// Keeps of `events`, already in order, each user's first positive event on each item.
#[must_use]
pub(crate) fn first_positives(events: Vec<Sourced>, positive_rating: Option<f64>) -> Vec<Event> {
    let mut consumed = HashSet::new();
    let mut kept = Vec::new();
    for Sourced { mut event, .. } in events {
        let Some(user) = event.actor().cloned() else { continue };
        if !is_positive(&event, positive_rating) {
            continue;
        }
        event.items.retain(|item| consumed.insert((user.clone(), item.clone())));
        if !event.items.is_empty() {
            kept.push(event);
        }
    }
    kept
}

/// Whether the event says that its user wants its items.
fn is_positive(event: &Event, positive_rating: Option<f64>) -> bool {
    match event.event_type {
        EventType::Rate => match (event.rating, positive_rating) {
            (Some(rating), Some(least)) => rating >= least,
            (Some(_), None) => true,
            (None, _) => false,
        },
        EventType::View
        | EventType::Click
        | EventType::AddToCart
        | EventType::Purchase
        | EventType::Dwell
        | EventType::Like
        | EventType::Custom(_) => true,
        EventType::RemoveFromCart
        | EventType::Search
        | EventType::Profile
        | EventType::Merge
        | EventType::Erase
        | EventType::Impression
        | EventType::Dislike
        | EventType::Skip
        | EventType::ItemUpsert
        | EventType::ItemDelete => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use crate::source::preset::Dataset;

    #[test]
    fn the_first_positive_of_each_pair_is_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let rows = "1::a::6::10\n1::a::7::20\n1::a::9::30\n2::a::7::5\n1::b::10::40\n";
        std::fs::write(folder.path().join("ratings.dat"), rows).expect("it can be written");
        let spec = Dataset::Movietweetings.spec(folder.path());
        let source = Source::open(&spec.events).expect("the file is there");
        let events = source.collect(true, |_| Ok(())).expect("it can be read");
        let kept = first_positives(events, spec.positive_rating);
        let pairs: Vec<(String, Option<f64>)> =
            kept.iter().map(|e| (format!("{}{}", e.key(), e.items[0]), e.rating)).collect();
        let want = [("2a", 7.0), ("1a", 7.0), ("1b", 10.0)];
        assert_eq!(pairs, want.map(|(pair, rating)| (pair.to_owned(), Some(rating))));
    }
}
