//! A failing history made as short as possible: delta debugging over what happens.
//!
//! <https://www.st.cs.uni-saarland.de/papers/tse2002/>: parts are left out, large ones first, as
//! long as the same promise stays broken.

use super::history::{Event, History};
use super::player::play;
use super::sabotage::Sabotage;
use crate::simulator::Dialect;

/// The most histories that are tried.
const TRIES_MAX: usize = 1_500;

/// A shorter history that breaks the same promise.
pub fn shrink(history: &History, rule: &str, sabotage: Option<Sabotage>) -> History {
    let mut shrinking = Shrinking {
        best: history.clone(),
        rule: rule.to_owned(),
        sabotage,
        tries: 0,
    };
    loop {
        let size = shrinking.weight();
        shrinking.move_to_office_365();
        shrinking.shorten_events();
        shrinking.calm_passes();
        shrinking.drop_people();
        shrinking.shorten_edits();
        shrinking.drop_oddities();
        if shrinking.weight() == size || shrinking.tries >= TRIES_MAX {
            return shrinking.best;
        }
    }
}

struct Shrinking {
    best: History,
    rule: String,
    sabotage: Option<Sabotage>,
    tries: usize,
}

impl Shrinking {
    fn weight(&self) -> usize {
        format!("{:?}", self.best).len()
    }

    /// Takes a candidate if it still fails.
    fn offer(&mut self, candidate: History) -> bool {
        if self.tries >= TRIES_MAX || candidate == self.best {
            return false;
        }
        self.tries += 1;
        let verdict = super::guarded(|| play(&candidate, self.sabotage));
        let fails = verdict
            .violations
            .iter()
            .any(|found| found.rule == self.rule);
        if fails {
            self.best = candidate;
        }
        fails
    }

    fn shorten_events(&mut self) {
        let mut part = self.best.events.len().div_ceil(2).max(1);
        loop {
            let mut start = 0;
            while start < self.best.events.len() {
                let mut candidate = self.best.clone();
                let end = (start + part).min(candidate.events.len());
                candidate.events.drain(start..end);
                if !self.offer(candidate) {
                    start += part;
                }
            }
            if part == 1 {
                return;
            }
            part = part.div_ceil(2);
        }
    }

    fn calm_passes(&mut self) {
        for at in 0..self.best.events.len() {
            self.change_pass(at, |pass| pass.faults = None);
            self.change_pass(at, |pass| pass.crash = None);
            self.change_pass(at, |pass| pass.store = None);
            self.change_pass(at, |pass| pass.server = None);
            for number in (0..2).rev() {
                self.change_pass(at, |pass| {
                    if number < pass.meanwhile.len() {
                        pass.meanwhile.remove(number);
                    }
                });
            }
        }
    }

    fn change_pass(&mut self, at: usize, change: impl FnOnce(&mut super::history::Pass)) {
        let mut candidate = self.best.clone();
        if let Some(Event::Pass(pass)) = candidate.events.get_mut(at) {
            change(pass);
            self.offer(candidate);
        }
    }

    fn drop_people(&mut self) {
        for at in 0..self.best.people.len() {
            self.change_person(at, |person| person.crm = None);
            self.change_person(at, |person| person.marks.clear());
            self.change_person(at, |person| person.common.truncate(3));
            let mailboxes = self.best.setting.mailboxes.len();
            for mailbox in 0..mailboxes {
                self.change_person(at, |person| {
                    if let Some(own) = person.mailboxes.get_mut(mailbox) {
                        *own = None;
                    }
                });
            }
        }
    }

    fn change_person(&mut self, at: usize, change: impl FnOnce(&mut super::history::Person)) {
        let mut candidate = self.best.clone();
        if let Some(person) = candidate.people.get_mut(at) {
            change(person);
            self.offer(candidate);
        }
    }

    fn shorten_edits(&mut self) {
        for at in 0..self.best.people.len() {
            for number in (0..4).rev() {
                self.change_person(at, |person| {
                    if let Some(own) = person.crm.as_mut().filter(|own| number < own.len()) {
                        own.remove(number);
                    }
                });
                for mailbox in 0..self.best.setting.mailboxes.len() {
                    self.change_person(at, |person| {
                        let own = person.mailboxes.get_mut(mailbox).and_then(Option::as_mut);
                        if let Some(own) = own.filter(|own| number < own.len()) {
                            own.remove(number);
                        }
                    });
                }
            }
        }
        for at in 0..self.best.events.len() {
            for number in (0..3).rev() {
                let mut candidate = self.best.clone();
                let Some(Event::Act(act)) = candidate.events.get_mut(at) else {
                    continue;
                };
                let (super::history::Deed::Edit(edits) | super::history::Deed::Enter(edits)) =
                    &mut act.deed
                else {
                    continue;
                };
                if number < edits.len() {
                    edits.remove(number);
                    self.offer(candidate);
                }
            }
        }
    }

    /// Where a history fails over Graph too, there is one service less to think of.
    fn move_to_office_365(&mut self) {
        for at in 0..self.best.setting.mailboxes.len() {
            let mut candidate = self.best.clone();
            if let Some(dialect) = candidate.setting.mailboxes.get_mut(at) {
                *dialect = Dialect::Graph;
                self.offer(candidate);
            }
        }
    }

    fn drop_oddities(&mut self) {
        for at in (0..self.best.setting.oddities.len()).rev() {
            let mut candidate = self.best.clone();
            candidate.setting.oddities.remove(at);
            self.offer(candidate);
        }
    }
}
