//! A CA with Let's Encrypt's limits, to judge the ledger by.
//!
//! Written from Let's Encrypt's documentation and boulder's behaviour alone, and sharing nothing with
//! `renewal::ledger`: a mistake that both make would not be seen. A bucket here is a debt that is paid off with time;
//! it is asked in the order of boulder's `wfe2/wfe.go`, and filled where `ra/ra.go` fills it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{DAY_MS, HOUR_MS};

/// What an order was refused for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refused {
    /// The limit, as the page of the CA calls it.
    pub(super) limit: Rule,
    /// When the next one is allowed.
    pub(super) retry_at: i64,
}

/// A limit.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Rule {
    OrdersPerAccount,
    CertificatesPerDomain,
    CertificatesPerSet,
    FailuresPerName,
    Paused,
    RequestsPerSecond,
}

impl Rule {
    /// Returns how many there are at once, and how long a debt of so many takes to be paid off.
    fn size(self) -> (i64, i64) {
        match self {
            Self::OrdersPerAccount => (300, 3 * HOUR_MS),
            Self::CertificatesPerDomain => (50, 7 * DAY_MS),
            Self::CertificatesPerSet => (5, 7 * DAY_MS),
            Self::FailuresPerName => (5, HOUR_MS),
            Self::Paused => (1_152, 1_152 * DAY_MS),
            // 300 a second and 200 more at once.
            Self::RequestsPerSecond => (200, 667),
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::OrdersPerAccount => "new orders per account",
            Self::CertificatesPerDomain => "certificates per registered domain",
            Self::CertificatesPerSet => "certificates per exact set",
            Self::FailuresPerName => "failed validations per name",
            Self::Paused => "paused",
            Self::RequestsPerSecond => "requests per second",
        }
    }
}

/// How much is owed, in milliseconds, and as of when.
#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    owed: i64,
    as_of: i64,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
struct Issued {
    window: (i64, i64),
    replaced: bool,
}

/// The CA.
#[derive(Debug)]
pub(super) struct Ca {
    lifetime: i64,
    outage: (i64, i64),
    debts: HashMap<(Rule, String), Debt>,
    sets: HashMap<String, i64>,
    issued: HashMap<u64, Issued>,
    paused: HashSet<String>,
    next: u64,
    /// The limits, for a test to be stricter.
    pub(super) sizes: HashMap<Rule, (i64, i64)>,
    /// What was refused for which limit, how often.
    pub(super) refusals: BTreeMap<Rule, u64>,
}

impl Ca {
    pub(super) fn new(lifetime: i64, outage: (i64, i64)) -> Self {
        Self {
            lifetime,
            outage,
            debts: HashMap::new(),
            sets: HashMap::new(),
            issued: HashMap::new(),
            paused: HashSet::new(),
            next: 0,
            sizes: HashMap::new(),
            refusals: BTreeMap::new(),
        }
    }

    /// Says whether it answers at all.
    pub(super) fn answers(&self, now: i64) -> bool {
        !(self.outage.0..self.outage.1).contains(&now)
    }

    /// Takes an order, or refuses it.
    pub(super) fn new_order(
        &mut self,
        names: &[String],
        replaces: Option<u64>,
        now: i64,
    ) -> Result<(), Refused> {
        let answer = self.look_at(names, replaces, now);
        if let Err(refused) = &answer {
            *self.refusals.entry(refused.limit).or_default() += 1;
        }
        answer
    }

    fn look_at(
        &mut self,
        names: &[String],
        replaces: Option<u64>,
        now: i64,
    ) -> Result<(), Refused> {
        self.ask(Rule::RequestsPerSecond, "", now)?;
        self.owe(Rule::RequestsPerSecond, "", now);
        if names.iter().any(|name| self.paused.contains(name)) {
            return Err(Refused {
                limit: Rule::Paused,
                retry_at: i64::MAX,
            });
        }
        let set = set_of(names);
        let exempt = replaces.is_some_and(|id| {
            let known = self.issued.get(&id);
            known.is_some_and(|known| {
                !known.replaced && (known.window.0..known.window.1).contains(&now)
            })
        });
        let renewal = self
            .sets
            .get(&set)
            .is_some_and(|last| now - last < 120 * DAY_MS);
        if exempt {
            return Ok(());
        }
        if !renewal {
            for domain in domains(names) {
                self.ask(Rule::CertificatesPerDomain, &domain, now)?;
            }
        }
        self.ask(Rule::CertificatesPerSet, &set, now)?;
        for name in names {
            self.ask(Rule::FailuresPerName, name, now)?;
        }
        if !renewal {
            self.ask(Rule::OrdersPerAccount, "", now)?;
            self.owe(Rule::OrdersPerAccount, "", now);
        }
        Ok(())
    }

    /// Takes in that the validation of a name failed.
    pub(super) fn failed(&mut self, name: &str, now: i64) {
        self.owe(Rule::FailuresPerName, name, now);
        let over = self.ask(Rule::Paused, name, now).is_err();
        self.owe(Rule::Paused, name, now);
        if over {
            self.paused.insert(name.to_owned());
        }
    }

    /// Issues; returns the certificate's number, and from when until when it is valid.
    pub(super) fn issue(
        &mut self,
        names: &[String],
        replaces: Option<u64>,
        now: i64,
    ) -> (u64, i64, i64) {
        let set = set_of(names);
        let renewal = self
            .sets
            .get(&set)
            .is_some_and(|last| now - last < 120 * DAY_MS);
        if !renewal {
            for domain in domains(names) {
                self.owe(Rule::CertificatesPerDomain, &domain, now);
            }
        }
        self.owe(Rule::CertificatesPerSet, &set, now);
        for name in names {
            self.debts.remove(&(Rule::Paused, name.clone()));
        }
        if let Some(old) = replaces.and_then(|id| self.issued.get_mut(&id)) {
            old.replaced = true;
        }
        self.adopt(names, now)
    }

    /// Knows a certificate that it issued at `now`, which may lie before the beginning.
    pub(super) fn adopt(&mut self, names: &[String], now: i64) -> (u64, i64, i64) {
        self.sets.insert(set_of(names), now);
        // Backdated by an hour, as Let's Encrypt's are.
        let (begin, end) = (now - HOUR_MS, now - HOUR_MS + self.lifetime);
        let ideal = end - self.lifetime / 3;
        let id = self.next;
        self.next += 1;
        self.issued.insert(
            id,
            Issued {
                window: (ideal - self.lifetime / 100, ideal + self.lifetime / 100),
                replaced: false,
            },
        );
        (id, begin, end)
    }

    /// Revokes a certificate: its window is over, so that clients renew at once.
    pub(super) fn revoke(&mut self, id: u64, now: i64) {
        if let Some(issued) = self.issued.get_mut(&id) {
            issued.window = (now - HOUR_MS, now - HOUR_MS / 2);
        }
    }

    /// Says when it would like a certificate renewed.
    pub(super) fn window(&self, id: u64) -> Option<(i64, i64)> {
        self.issued.get(&id).map(|issued| issued.window)
    }

    /// Forgets a certificate that is of no more interest, so that years fit into memory.
    pub(super) fn forget(&mut self, id: u64) {
        self.issued.remove(&id);
    }

    /// Says whether one more would be too much.
    fn ask(&self, rule: Rule, whose: &str, now: i64) -> Result<(), Refused> {
        let (count, period) = self.size(rule);
        let each = period / count;
        let owed = self.owed(rule, whose, now);
        let over = owed + each - each * count;
        if over <= 0 {
            return Ok(());
        }
        Err(Refused {
            limit: rule,
            retry_at: now + over,
        })
    }

    fn owe(&mut self, rule: Rule, whose: &str, now: i64) {
        let (count, period) = self.size(rule);
        let owed = self.owed(rule, whose, now) + period / count;
        self.debts
            .insert((rule, whose.to_owned()), Debt { owed, as_of: now });
    }

    fn size(&self, rule: Rule) -> (i64, i64) {
        self.sizes
            .get(&rule)
            .copied()
            .unwrap_or_else(|| rule.size())
    }

    fn owed(&self, rule: Rule, whose: &str, now: i64) -> i64 {
        let debt = self.debts.get(&(rule, whose.to_owned()));
        debt.map_or(0, |debt| (debt.owed - (now - debt.as_of)).max(0))
    }
}

fn set_of(names: &[String]) -> String {
    let mut sorted = names.to_vec();
    sorted.sort();
    sorted.join(" ")
}

/// The names of a simulated fleet all lie below a top-level domain of one label.
fn domains(names: &[String]) -> HashSet<String> {
    let last_two = |name: &String| {
        let labels: Vec<&str> = name.rsplit('.').take(2).collect();
        labels.join(".")
    };
    names.iter().map(last_two).collect()
}

#[cfg(test)]
mod tests {
    use super::{Ca, Rule};
    use crate::fleet::{DAY_MS, HOUR_MS};

    fn ca() -> Ca {
        Ca::new(64 * DAY_MS, (0, 0))
    }

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn it_refuses_what_lets_encrypt_refuses() {
        let mut judge = ca();
        let new = |number: i64| names(&format!("n{number}.test"));
        for number in 0..300 {
            assert_eq!(judge.new_order(&new(number), None, number * 10), Ok(()));
        }
        let refused = judge.new_order(&new(300), None, 3_000).unwrap_err();
        assert_eq!(
            (refused.limit, refused.retry_at),
            (Rule::OrdersPerAccount, 36_000)
        );
        assert_eq!(judge.new_order(&new(300), None, 36_000), Ok(()));

        let mut judge = ca();
        for number in 0..50 {
            judge.issue(&names(&format!("n{number}.shop.test")), None, 0);
        }
        let refused = judge
            .new_order(&names("new.shop.test"), None, 0)
            .unwrap_err();
        assert_eq!(refused.limit, Rule::CertificatesPerDomain);
        assert_eq!(
            judge.new_order(&names("n1.shop.test"), None, 0),
            Ok(()),
            "a renewal"
        );

        let mut judge = ca();
        for _ in 0..5 {
            judge.issue(&names("b.test a.test"), None, 0);
        }
        let refused = judge
            .new_order(&names("a.test b.test"), None, 0)
            .unwrap_err();
        assert_eq!(refused.limit, Rule::CertificatesPerSet);
    }

    #[test]
    fn it_counts_failures_and_pauses_at_the_end() {
        let mut judge = ca();
        for _ in 0..5 {
            assert_eq!(judge.new_order(&names("a.test b.test"), None, 0), Ok(()));
            judge.failed("a.test", 0);
        }
        let refused = judge
            .new_order(&names("a.test b.test"), None, 0)
            .unwrap_err();
        assert_eq!(
            (refused.limit, refused.retry_at),
            (Rule::FailuresPerName, HOUR_MS / 5)
        );
        assert_eq!(judge.new_order(&names("b.test"), None, 0), Ok(()));
        for hour in 0..1_400 {
            judge.failed("c.test", hour * HOUR_MS);
        }
        let refused = judge
            .new_order(&names("c.test"), None, 2_000 * DAY_MS)
            .unwrap_err();
        assert_eq!(refused.limit, Rule::Paused);
    }

    #[test]
    fn a_replacement_is_exempt_inside_its_window_alone() {
        let mut judge = ca();
        let set = names("a.test");
        let mut last = 0;
        for _ in 0..5 {
            last = judge.issue(&set, None, 0).0;
        }
        let (from, until) = judge.window(last).unwrap();
        // Spent again, so that the exemption shows.
        for _ in 0..5 {
            judge.issue(&set, None, from);
        }
        assert_eq!(judge.new_order(&set, Some(last), from), Ok(()));
        assert!(judge.new_order(&set, Some(last), from - 1).is_err());
        assert!(judge.new_order(&set, None, from).is_err());
        judge.revoke(last, from);
        assert!(
            judge.new_order(&set, Some(last), from).is_err(),
            "its window is over"
        );
        assert!(judge.new_order(&set, Some(last), until).is_err());
    }
}
