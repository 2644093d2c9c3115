//! What is wrong with a site, from when until when?

use super::dice::Dice;
use super::{DAY_MS, HOUR_MS};

/// A way of being broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Our own preflight sees it: DNS points elsewhere, port 80 is closed.
    SeenHere,
    /// Only the CA sees it: a firewall that shuts out other countries.
    SeenByCa,
    /// The CA alone, and with one of the names.
    OneName,
    /// nginx refuses its configuration, so nothing can be deployed.
    Undeployable,
}

/// A stretch of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    pub(super) from: i64,
    pub(super) until: i64,
}

/// The troubles of one site, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Troubles {
    dice: Dice,
    percent: i64,
    /// Those that have begun, the oldest first, and the next one.
    known: Vec<Trouble>,
}

impl Troubles {
    pub(super) fn new(mut dice: Dice, percent: u32, start: i64) -> Self {
        let percent = i64::from(percent.min(90));
        let mut troubles = Self {
            dice: dice.clone(),
            percent,
            known: Vec::new(),
        };
        // Some are broken from the beginning.
        let first = start + dice.below(troubles.whole_longest());
        troubles.add(first);
        if dice.percent(percent) {
            let length = troubles.known[0].until - troubles.known[0].from;
            troubles.known[0].from = start;
            troubles.known[0].until = start + dice.below(length).max(HOUR_MS);
        }
        troubles
    }

    /// Returns what is wrong at `now`.
    pub(super) fn at(&mut self, now: i64) -> Option<Trouble> {
        if self.percent == 0 {
            return None;
        }
        while let Some(last) = self.known.last().filter(|last| last.from <= now).copied() {
            let whole = self.dice.below(self.whole_longest()).max(HOUR_MS);
            self.add(last.until + whole);
        }
        self.known
            .iter()
            .rev()
            .find(|trouble| trouble.from <= now && now < trouble.until)
            .copied()
    }

    /// Says whether there was a stretch of at least `least` between two moments in which nothing was wrong, with the
    /// site or, given as `outage`, with the CA.
    pub(super) fn was_whole(
        &mut self,
        from: i64,
        until: i64,
        outage: (i64, i64),
        least: i64,
    ) -> bool {
        self.at(until);
        let troubles = self
            .known
            .iter()
            .map(|trouble| (trouble.from, trouble.until));
        let mut wrong: Vec<(i64, i64)> = troubles.chain([outage, (until, i64::MAX)]).collect();
        wrong.sort_unstable();
        let mut whole_since = from;
        for (begin, end) in wrong {
            if begin.min(until) - whole_since >= least {
                return true;
            }
            whole_since = whole_since.max(end);
        }
        false
    }

    fn add(&mut self, from: i64) {
        let kind = match self.dice.below(20) {
            0..9 => Kind::SeenHere,
            9..15 => Kind::SeenByCa,
            15..18 => Kind::OneName,
            _ => Kind::Undeployable,
        };
        // Most are mended within days, a few stay for two months.
        let length = match self.dice.below(10) {
            0 => self.dice.below(60 * DAY_MS),
            _ => self.dice.below(8 * DAY_MS),
        };
        self.known.push(Trouble {
            kind,
            from,
            until: from + length.max(HOUR_MS),
        });
    }

    /// Returns the longest time between two troubles: twice the mean that makes so many of a hundred broken.
    fn whole_longest(&self) -> i64 {
        2 * MEAN_MS * (100 - self.percent) / self.percent.max(1)
    }
}

/// The mean length of a trouble, as [`Troubles::add`] draws it: a tenth of 30 days and nine tenths of 4.
const MEAN_MS: i64 = 66 * DAY_MS / 10;
