//! Lifting a hold: a Gate that a person opens by hand.

use jiff::Timestamp;

use super::outside::{Lift, may_lift};
use super::requests::about;
use super::{Change, Environment, Promotion, Refused, Voter};
use crate::PromotionId;
use crate::pipeline::{Gate, HoldGate};

impl Promotion {
    /// The holds that nobody has lifted, each with its place in the plan.
    pub fn holds_left(&self) -> impl Iterator<Item = (usize, &HoldGate)> {
        self.plan.gates.iter().enumerate().filter_map(|(index, gate)| match gate {
            Gate::Hold(gate) if !self.lifted.contains_key(&index) => Some((index, gate)),
            _ => None,
        })
    }
}

impl Environment {
    /// Opens the holds of what waits: the one with this name, or every one that this person may lift.
    pub(super) fn lift(
        &mut self,
        id: PromotionId,
        voter: &Voter,
        name: Option<&str>,
        comment: &str,
        change: &mut Change,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let Some(promotion) = self.waiting_as(id) else {
            let reason = "this Promotion does not wait any more; look at its page for what became of it";
            return Err(Refused::because(reason));
        };
        let (mut lifted, mut objections) = (Vec::new(), Vec::new());
        for (index, gate) in
            promotion.holds_left().filter(|(_, gate)| name.is_none_or(|name| name == gate.name))
        {
            match may_lift(gate, &voter.login, &voter.roles) {
                Ok(()) => lifted.push((index, gate.name.clone())),
                Err(objection) => objections.push(objection),
            }
        }
        if lifted.is_empty() {
            let title = promotion.title();
            return Err(Refused::because(match (objections.is_empty(), name) {
                (false, _) => format!("{title} stays held: {}", objections.join("; ")),
                (true, Some(name)) => format!("no hold `{name}` is left on {title}"),
                (true, None) => format!("no hold is left on {title}"),
            }));
        }
        let words = if comment.is_empty() { String::new() } else { format!(": {comment}") };
        let names: Vec<String> = lifted.iter().map(|(_, name)| format!("`{name}`")).collect();
        let text = format!("{} lifted {} of {}{words}", voter.login, names.join(" and "), promotion.title());
        change.handled.entry(about(promotion, "hold-lifted", voter.actor(), text).fact("comment", comment));
        for (index, _) in lifted {
            let lift = Lift { login: voter.login.clone(), comment: comment.to_owned(), at: now };
            promotion.lifted.insert(index, lift);
        }
        Ok(())
    }
}
