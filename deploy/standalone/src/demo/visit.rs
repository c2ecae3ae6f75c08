//! One visit: what a shopper does, step by step.

use super::catalogue::Catalogue;
use super::rng::Dice;
use super::shopper::Shopper;
use super::words::DEPARTMENTS;

/// What happens; items by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Looks for something.
    Search(String),
    /// Looks at an item.
    View(usize),
    /// Stays on it, in milliseconds.
    Dwell(usize, u64),
    /// Follows it.
    Click(usize),
    /// Wants it.
    AddToCart(usize),
    /// Buys so many of it.
    Purchase(usize, u32),
}

impl Step {
    /// The event's type.
    #[must_use]
    pub(crate) fn event_type(&self) -> &'static str {
        match self {
            Self::Search(_) => "search",
            Self::View(_) => "view",
            Self::Dwell(..) => "dwell",
            Self::Click(_) => "click",
            Self::AddToCart(_) => "add_to_cart",
            Self::Purchase(..) => "purchase",
        }
    }
}

/// How far the item in view has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fresh,
    Viewed,
    Stayed,
    Clicked,
    Carted,
}

/// See the module doc.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    /// Number of the shopper.
    pub shopper: usize,
    /// The visit's name.
    pub session_id: String,
    department: usize,
    item: Option<usize>,
    stage: Stage,
    steps_left: usize,
}

impl Visit {
    /// A visit that begins in `department`.
    #[must_use]
    pub(crate) fn new(
        shopper: usize,
        session_id: String,
        department: usize,
        dice: &mut Dice,
    ) -> Self {
        let steps_left = 3 + dice.rank(40);
        Self { shopper, session_id, department, item: None, stage: Stage::Fresh, steps_left }
    }

    /// Whether the shopper has left.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        self.steps_left == 0
    }

    /// The next thing that `shopper` does.
    pub(crate) fn step(
        &mut self,
        shopper: &Shopper,
        catalogue: &Catalogue,
        dice: &mut Dice,
    ) -> Step {
        self.steps_left = self.steps_left.saturating_sub(1);
        let Some(item) = self.item else { return self.look(shopper, catalogue, dice) };
        let liked = catalogue.goods[item].style == shopper.style;
        // Who likes an item goes further with it.
        let eager = if liked { 1.6 } else { 0.8 };
        match self.stage {
            Stage::Viewed if dice.chance(0.3) => {
                self.stage = Stage::Stayed;
                let (low, high) = if liked { (8_000.0, 120_000.0) } else { (1_000.0, 30_000.0) };
                Step::Dwell(item, dice.between(low, high) as u64)
            }
            Stage::Viewed | Stage::Stayed if dice.chance(0.35 * eager) => {
                self.stage = Stage::Clicked;
                Step::Click(item)
            }
            Stage::Clicked if dice.chance(0.3 * eager) => {
                self.stage = Stage::Carted;
                Step::AddToCart(item)
            }
            Stage::Carted if dice.chance(0.45) => {
                self.department = DEPARTMENTS[self.department].goes_with;
                self.item = None;
                self.stage = Stage::Fresh;
                Step::Purchase(item, 1 + dice.rank(3) as u32)
            }
            Stage::Fresh | Stage::Viewed | Stage::Stayed | Stage::Clicked | Stage::Carted => {
                self.look(shopper, catalogue, dice)
            }
        }
    }

    /// Goes to another item, sometimes by searching for it.
    fn look(&mut self, shopper: &Shopper, catalogue: &Catalogue, dice: &mut Dice) -> Step {
        if self.stage == Stage::Fresh && dice.chance(0.15) {
            self.stage = Stage::Viewed;
            return Step::Search(dice.pick(&DEPARTMENTS[self.department].nouns).to_lowercase());
        }
        if dice.chance(0.08) {
            self.department = shopper.choose_department(dice);
        }
        let item = self.choose(shopper, catalogue, dice);
        self.item = Some(item);
        self.stage = Stage::Viewed;
        Step::View(item)
    }

    /// The best of a few wanted items: of the favoured style, and like the one in view.
    fn choose(&self, shopper: &Shopper, catalogue: &Catalogue, dice: &mut Dice) -> usize {
        let shelf = &catalogue.shelves[self.department];
        let noun = self.item.map(|item| catalogue.goods[item].noun);
        let mut best = shelf[dice.rank(shelf.len())];
        let mut best_fit = -1;
        for _ in 0..3 {
            let item = shelf[dice.rank(shelf.len())];
            let good = &catalogue.goods[item];
            let fit = 2 * i32::from(good.style == shopper.style)
                + i32::from(Some(good.noun) == noun)
                - 3 * i32::from(Some(item) == self.item);
            if fit > best_fit {
                (best, best_fit) = (item, fit);
            }
        }
        best
    }
}
