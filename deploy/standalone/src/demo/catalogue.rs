//! The goods of the simulated shop.

use serde_json::{Value, json};

use super::rng::Dice;
use super::words::{DEPARTMENTS, STYLE_WORDS, STYLES};

/// One item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Good {
    /// `sku-0042`.
    pub id: String,
    /// Place in [`DEPARTMENTS`].
    pub department: usize,
    /// Place in [`STYLES`].
    pub style: usize,
    /// Which of the department's nouns it is.
    pub noun: usize,
    /// For people.
    pub title: String,
    /// The maker.
    pub brand: &'static str,
    /// In EUR.
    pub price: f64,
}

/// All items, and which belong to a department.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    /// By number.
    pub goods: Vec<Good>,
    /// Numbers of each department's items, the most wanted first.
    pub shelves: Vec<Vec<usize>>,
}

impl Catalogue {
    /// A catalogue of `size` items.
    #[must_use]
    pub(crate) fn new(size: usize, dice: &mut Dice) -> Self {
        let shelves = vec![Vec::new(); DEPARTMENTS.len()];
        let mut catalogue = Self { goods: Vec::with_capacity(size), shelves };
        for number in 0..size {
            catalogue.add(number % DEPARTMENTS.len(), dice);
        }
        catalogue
    }

    /// Adds a new item to `department`, near the front of its shelf: what is new is wanted.
    pub(crate) fn add(&mut self, department: usize, dice: &mut Dice) -> usize {
        let number = self.goods.len();
        self.goods.push(invent(number, department, dice));
        let shelf = &mut self.shelves[department];
        let place = dice.below(shelf.len() / 3 + 1);
        shelf.insert(place, number);
        number
    }
}

impl Good {
    /// The event that puts it into the catalogue.
    #[must_use]
    pub(crate) fn upsert(&self, event_id: &str) -> Value {
        let department = &DEPARTMENTS[self.department];
        json!({
            "event_id": event_id,
            "event_type": "item_upsert",
            "item_id": self.id,
            "item": {
                "title": self.title,
                "category": [department.category],
                "brand": self.brand,
                "tags": [STYLES[self.style], department.nouns[self.noun].to_lowercase()],
                "price": self.price,
                "currency": "EUR",
                "in_stock": true,
            },
        })
    }
}

fn invent(number: usize, department: usize, dice: &mut Dice) -> Good {
    let words = &DEPARTMENTS[department];
    let style = dice.below(STYLES.len());
    let noun = dice.below(words.nouns.len());
    let brand = *dice.pick(&words.brands);
    let (kind, style_word) = (*dice.pick(&words.kinds), *dice.pick(&STYLE_WORDS[style]));
    let model = 1 + dice.below(9);
    let title = match dice.below(3) {
        0 => format!("{brand} {style_word} {kind} {}", words.nouns[noun]),
        1 => format!("{brand} {kind} {} {style_word} {model}", words.nouns[noun]),
        _ => format!("{brand} {style_word} {} {model}, {kind}", words.nouns[noun]),
    };
    let (low, high) = words.price;
    let price = dice.between(low, high).floor() + 0.99;
    Good { id: format!("sku-{number:04}"), department, style, noun, title, brand, price }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_on_one_shelf() {
        let mut dice = Dice::new(1, 1);
        let mut catalogue = Catalogue::new(2_000, &mut dice);
        catalogue.add(3, &mut dice);
        let mut shelved: Vec<usize> = catalogue.shelves.iter().flatten().copied().collect();
        shelved.sort_unstable();
        assert_eq!(shelved, (0..2_001).collect::<Vec<_>>());
        assert!(catalogue.goods.iter().all(|good| good.price > 0.0 && good.title.len() > 10));
    }
}
