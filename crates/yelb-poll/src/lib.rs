//! What can be voted for, written down once: for the API, the stores and the page.

use std::ops::Index;

/// A choice of the poll, as the API names it and as the page shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// The last part of the vote's path, and the key of its row in a store.
    pub id: &'static str,
    /// What the page calls it.
    pub name: &'static str,
    /// What the page praises.
    pub dish: &'static str,
    /// The praise.
    pub praise: &'static str,
    /// Its own site.
    pub link: &'static str,
    /// An SVG element.
    pub icon: &'static str,
}

/// The restaurants of the original, in the order in which its API lists them.
const ORIGINAL: [Choice; 4] = [
    Choice {
        id: "outback",
        name: "Outback",
        dish: "Blooming onion",
        praise: "petal by petal",
        link: "https://www.outback.com/",
        icon: include_str!("../icons/onion.svg"),
    },
    Choice {
        id: "bucadibeppo",
        name: "Buca di Beppo",
        dish: "Lasagne",
        praise: "enough for the table",
        link: "https://www.bucadibeppo.com/",
        icon: include_str!("../icons/lasagne.svg"),
    },
    Choice {
        id: "ihop",
        name: "IHOP",
        dish: "Pancakes",
        praise: "stacked high",
        link: "https://www.ihop.com/",
        icon: include_str!("../icons/pancakes.svg"),
    },
    Choice {
        id: "chipotle",
        name: "Chipotle",
        dish: "Burritos",
        praise: "rolled to be held",
        link: "https://www.chipotle.com/",
        icon: include_str!("../icons/chilli.svg"),
    },
];

/// The order of the cards on the original's page.
const CARDS: [ChoiceId; 4] = [ChoiceId(2), ChoiceId(3), ChoiceId(0), ChoiceId(1)];

/// The index of a choice in the poll. Only a [`Poll`] hands it out, so it is the proof that the choice exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChoiceId(u16);

impl ChoiceId {
    /// The position in the poll, for tables that are in the poll's order.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// The choices that can be voted for, in the order in which the API lists them. Cloning it is free.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    choices: &'static [Choice],
    cards: &'static [ChoiceId],
}

impl Default for Poll {
    /// The original's poll.
    fn default() -> Self {
        Self { choices: &ORIGINAL, cards: &CARDS }
    }
}

impl Poll {
    /// The choice that the API calls `id`.
    pub fn find(&self, id: &str) -> Option<ChoiceId> {
        self.ids().find(|choice| self[*choice].id == id)
    }

    /// All choices, in order.
    pub fn choices(&self) -> &'static [Choice] {
        self.choices
    }

    /// The indices of all choices, in order.
    pub fn ids(&self) -> impl Iterator<Item = ChoiceId> + use<> {
        (0..).map(ChoiceId).take(self.choices.len())
    }

    /// The names of all choices in paths and stores, in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.choices.iter().map(|choice| choice.id).collect()
    }

    /// The choices in the order of the page's cards.
    pub fn cards(&self) -> impl Iterator<Item = ChoiceId> + use<> {
        self.cards.iter().copied()
    }
}

impl Index<ChoiceId> for Poll {
    type Output = Choice;

    fn index(&self, choice: ChoiceId) -> &Choice {
        &self.choices[choice.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_the_poll_is_found() {
        let poll = Poll::default();
        assert_eq!(poll.find("kfc"), None);
        assert_eq!(poll.find("IHOP"), None);
        assert_eq!(poll.find("ihop").map(|choice| poll[choice].name), Some("IHOP"));
    }

    #[test]
    fn every_choice_has_one_card() {
        let poll = Poll::default();
        let mut cards: Vec<ChoiceId> = poll.cards().collect();
        cards.sort_unstable();
        assert_eq!(cards, poll.ids().collect::<Vec<_>>());
    }
}
