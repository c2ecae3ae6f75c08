//! Who shops: latent tastes, drawn once for each user.

use super::rng::Dice;
use super::words::{DEPARTMENTS, STYLES};

/// How many departments a shopper likes.
const LIKED: usize = 3;

/// A user of the simulated shop.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shopper {
    /// The user id.
    pub id: String,
    /// Departments, the dearest first.
    pub likes: [usize; LIKED],
    /// The style looked for.
    pub style: usize,
    /// Device, for the context of events.
    pub device: &'static str,
}

/// A shopper whose page can be watched.
pub(crate) struct Persona {
    /// The user id.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// Who that is.
    pub description: &'static str,
    likes: [usize; LIKED],
    style: usize,
}

/// Those who can be watched.
pub(crate) const PERSONAS: [Persona; 4] = [
    Persona {
        id: "ada",
        name: "Ada, the audiophile",
        description: "listens, plays and types: audio, gaming and computing, only the best",
        likes: [0, 3, 2],
        style: 2,
    },
    Persona {
        id: "bruno",
        name: "Bruno, the cook",
        description: "kitchen, coffee and cookbooks, in classic style",
        likes: [4, 5, 16],
        style: 0,
    },
    Persona {
        id: "chloe",
        name: "Chloé, the gardener",
        description: "plants, garden tools and a home to put them in, all ecological",
        likes: [8, 9, 7],
        style: 1,
    },
    Persona {
        id: "dmitri",
        name: "Dmitri, the hiker",
        description: "camping, outerwear and shoes that survive everything",
        likes: [15, 11, 10],
        style: 5,
    },
];

const DEVICES: [&str; 3] = ["mobile", "desktop", "tablet"];

impl Shopper {
    /// The shopper with this number: mostly one department, its companion and one at random.
    #[must_use]
    pub(crate) fn new(number: usize, dice: &mut Dice) -> Self {
        let first = dice.below(DEPARTMENTS.len());
        let likes = [first, DEPARTMENTS[first].goes_with, dice.below(DEPARTMENTS.len())];
        let style = dice.below(STYLES.len());
        let device = DEVICES[dice.below(DEVICES.len())];
        Self { id: format!("user-{number:05}"), likes, style, device }
    }

    /// The department to browse now: what is liked, now and then anything.
    pub(crate) fn choose_department(&self, dice: &mut Dice) -> usize {
        match dice.below(10) {
            0..=4 => self.likes[0],
            5..=7 => self.likes[1],
            8 => self.likes[2],
            _ => dice.below(DEPARTMENTS.len()),
        }
    }
}

impl Persona {
    /// The same as any other shopper, but of fixed taste.
    #[must_use]
    pub(crate) fn shopper(&self) -> Shopper {
        let (id, device) = (self.id.to_owned(), DEVICES[1]);
        Shopper { id, likes: self.likes, style: self.style, device }
    }
}
