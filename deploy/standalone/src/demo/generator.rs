//! The simulated shop: a pure, seeded source of events.
//!
//! Many visits run at once; each step picks one and moves it on: search, view, dwell, click, cart,
//! purchase. Shoppers have latent tastes (departments and a style), a few goods are wanted by
//! many, what was looked at leads to its like, and new goods and new shoppers arrive all the
//! time. Time is an argument; the same seed and times give the same events.

use eddyline_schemas::time::TimestampMs;
use serde_json::{Value, json};

use super::catalogue::Catalogue;
use super::rng::Dice;
use super::shopper::{PERSONAS, Shopper};
use super::visit::{Step, Visit};
use super::words::DEPARTMENTS;

/// Items when the shop opens.
const ITEMS: usize = 1_950;
/// Users when the shop opens, besides the personas.
const SHOPPERS: usize = 5_000;
/// Visits that run at once, besides the personas'.
const VISITS: usize = 400;
/// One event in so many is a persona's.
const PERSONA_EVERY: usize = 60;
/// One event in so many is a new item of the catalogue.
const NEW_ITEM_EVERY: u64 = 1_500;
/// Share of visits by someone who was never seen before.
const NEW_SHOPPERS: f64 = 0.03;

/// See the module doc.
pub(crate) struct Generator {
    run: String,
    dice: Dice,
    catalogue: Catalogue,
    shoppers: Vec<Shopper>,
    /// The personas' visits come first.
    visits: Vec<Visit>,
    events: u64,
}

impl Generator {
    /// The shop of `seed`. `run` enters all event ids: two runs are two histories.
    #[must_use]
    pub(crate) fn new(seed: u64, run: &str) -> Self {
        let mut dice = Dice::new(seed, 1);
        let catalogue = Catalogue::new(ITEMS, &mut dice);
        let mut shoppers: Vec<Shopper> = PERSONAS.iter().map(|persona| persona.shopper()).collect();
        shoppers.extend((0..SHOPPERS).map(|number| Shopper::new(number, &mut dice)));
        let run = run.to_owned();
        let mut shop = Self { run, dice, catalogue, shoppers, visits: Vec::new(), events: 0 };
        for number in 0..PERSONAS.len() + VISITS {
            let visit = shop.new_visit(number);
            shop.visits.push(visit);
        }
        shop
    }

    /// The events that fill the catalogue when the shop opens.
    #[must_use]
    pub(crate) fn opening(&self) -> Vec<Value> {
        let upsert =
            |good: &super::catalogue::Good| good.upsert(&format!("demo-{}-{}", self.run, good.id));
        self.catalogue.goods.iter().map(upsert).collect()
    }

    /// The next event, stamped `now`.
    pub(crate) fn next(&mut self, now: TimestampMs) -> Value {
        self.events += 1;
        if self.events.is_multiple_of(NEW_ITEM_EVERY) {
            let department = self.dice.below(DEPARTMENTS.len());
            let number = self.catalogue.add(department, &mut self.dice);
            let good = &self.catalogue.goods[number];
            return good.upsert(&format!("demo-{}-{}", self.run, good.id));
        }
        let number = match self.dice.below(PERSONA_EVERY) {
            0 => self.dice.below(PERSONAS.len()),
            _ => PERSONAS.len() + self.dice.below(VISITS),
        };
        if self.visits[number].is_over() {
            self.visits[number] = self.new_visit(number);
        }
        let shopper = &self.shoppers[self.visits[number].shopper];
        let step = self.visits[number].step(shopper, &self.catalogue, &mut self.dice);
        self.event(number, step, now)
    }

    /// A visit in slot `number`: the first slots belong to the personas.
    fn new_visit(&mut self, number: usize) -> Visit {
        let shopper = if number < PERSONAS.len() {
            number
        } else if self.dice.chance(NEW_SHOPPERS) {
            let newcomer = Shopper::new(self.shoppers.len(), &mut self.dice);
            self.shoppers.push(newcomer);
            self.shoppers.len() - 1
        } else {
            // Some come every day, most now and then.
            PERSONAS.len() + self.dice.rank(SHOPPERS)
        };
        let department = self.shoppers[shopper].choose_department(&mut self.dice);
        Visit::new(shopper, format!("s-{}-{}", self.run, self.events), department, &mut self.dice)
    }

    fn event(&self, visit: usize, step: Step, now: TimestampMs) -> Value {
        let visit = &self.visits[visit];
        let shopper = &self.shoppers[visit.shopper];
        let mut event = json!({
            "event_id": format!("demo-{}-{}", self.run, self.events),
            "event_type": step.event_type(),
            "user_id": shopper.id,
            "session_id": visit.session_id,
            "timestamp": now.0,
            "context": {"device": shopper.device},
        });
        match step {
            Step::Search(query) => event["query"] = query.into(),
            Step::Dwell(item, ms) => {
                event["item_id"] = self.catalogue.goods[item].id.clone().into();
                event["dwell_time_ms"] = ms.into();
            }
            Step::View(item) | Step::Click(item) | Step::AddToCart(item) => {
                event["item_id"] = self.catalogue.goods[item].id.clone().into();
            }
            Step::Purchase(item, quantity) => {
                let good = &self.catalogue.goods[item];
                event["item_id"] = good.id.clone().into();
                event["price"] = good.price.into();
                event["currency"] = "EUR".into();
                event["quantity"] = quantity.into();
            }
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn stream(seed: u64, events: i64) -> Vec<Value> {
        let mut shop = Generator::new(seed, "t");
        (0..events).map(|at| shop.next(TimestampMs(1_700_000_000_000 + at))).collect()
    }

    #[test]
    fn a_seed_gives_one_stream() {
        assert_eq!(stream(1, 3_000), stream(1, 3_000));
        assert_ne!(stream(1, 100), stream(2, 100));
    }

    #[test]
    fn every_event_passes_the_validator() {
        let shop = Generator::new(1, "t");
        let now = TimestampMs(1_700_000_100_000);
        for event in shop.opening().iter().chain(&stream(1, 5_000)) {
            let text = serde_json::to_vec(event).expect("JSON can be written");
            let mut never = || unreachable!("every event has an id");
            let mut ids = eddyline_schemas::decode::IdAssigner::new(&mut never);
            let read = eddyline_schemas::decode::decode_json_event(&text, now, &mut ids);
            assert!(read.is_ok(), "{event}: {read:?}");
        }
    }

    #[test]
    fn the_shop_is_alive() {
        let mut by_type: BTreeMap<String, u64> = BTreeMap::new();
        let mut by_user: BTreeMap<String, u64> = BTreeMap::new();
        for event in stream(1, 20_000) {
            let text = |name: &str| event[name].as_str().unwrap_or("catalogue").to_owned();
            *by_type.entry(text("event_type")).or_default() += 1;
            *by_user.entry(text("user_id")).or_default() += 1;
        }
        let count = |name: &str| by_type.get(name).copied().unwrap_or(0);
        assert!(count("view") > count("click") && count("click") > count("add_to_cart"));
        assert!(count("add_to_cart") > count("purchase") && count("purchase") > 100, "{by_type:?}");
        assert!(count("search") > 100 && count("dwell") > 100 && count("item_upsert") == 13);
        for persona in &PERSONAS {
            assert!(by_user.get(persona.id).is_some_and(|&events| events > 20), "{}", persona.id);
        }
        let newcomers = by_user.keys().filter(|id| id.as_str() >= "user-05004").count();
        assert!(newcomers > 20, "{newcomers} newcomers");
    }
}
