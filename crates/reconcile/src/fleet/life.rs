//! From one moment at which something happens to the next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use jiff::SignedDuration;
use renewal::certificate::CertificateId;
use renewal::ledger::{Ledger, LimitKind, OrderFacts, Refusal};
use renewal::name::Name;
use renewal::plan::{Action, Wish, plan};
use renewal::retry::{Attempts, Blame};
use renewal::suggestion::{Answer, Suggestion};
use renewal::window::Window;

use self::member::{Member, id_of};
use super::ca::{Ca, Refused, Rule};
use super::dice::Dice;
use super::trouble::Kind;
use super::{DAY_MS, HOUR_MS, Scenario, Year, moment, since_start};

mod member;

/// The fleet, its CA and its books.
pub(super) struct Fleet {
    scenario: Scenario,
    pub(super) ca: Ca,
    ledger: Ledger,
    members: Vec<Member>,
    moments: BinaryHeap<Reverse<(i64, What, usize)>>,
    year: Year,
    wish: Wish,
    /// When the work of the last pass is done.
    busy_until: i64,
    /// The last failures of each name, for the judge.
    failures: HashMap<String, Vec<i64>>,
}

/// What is to be done at a moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum What {
    /// The CA revokes the site's certificate.
    Revoke,
    /// The CA is asked for its window.
    Poll,
    /// The site is looked at.
    Pass,
    /// A certificate expires, unless it was replaced.
    Expire,
}

impl Fleet {
    pub(super) fn new(scenario: Scenario) -> Self {
        let lifetime = i64::from(scenario.lifetime_days) * DAY_MS;
        let mut fleet = Self {
            scenario,
            ca: Ca::new(lifetime, scenario.outage()),
            ledger: Ledger::default(),
            members: Vec::new(),
            moments: BinaryHeap::new(),
            year: Year::default(),
            wish: Wish {
                first: true,
                ..Wish::default()
            },
            busy_until: 0,
            failures: HashMap::new(),
        };
        for number in 0..scenario.sites {
            fleet.add(number);
        }
        fleet
    }

    pub(super) fn into_year(mut self) -> Year {
        let refused = self.ca.refusals.iter();
        self.year.refused = refused.map(|(rule, count)| (rule.text(), *count)).collect();
        self.year
    }

    /// Adds a site: most are there with a certificate of any age, some come later, many of them at once.
    fn add(&mut self, number: u32) {
        let mut dice = Dice::new(self.scenario.seed, u64::from(number));
        let arrives_at = match number % 20 {
            0 => dice.below(self.scenario.at_percent(90)),
            1..4 => self.scenario.at_percent(8),
            _ => 0,
        };
        let index = self.members.len();
        let mut member = Member::new(number, &self.scenario, &mut dice, arrives_at);
        if arrives_at == 0 {
            let lifetime = i64::from(self.scenario.lifetime_days) * DAY_MS;
            // No older than it may be while it is not due.
            let age = dice.below(lifetime * 64 / 100);
            let issued = self.ca.adopt(&member.names, -age);
            member.serve(issued);
            self.at(issued.2, What::Expire, index);
            self.at(dice.below(6 * HOUR_MS), What::Poll, index);
        }
        member.next_pass = arrives_at;
        self.members.push(member);
        self.at(arrives_at, What::Pass, index);
        if self.scenario.mass_revocation && number % 3 == 2 {
            self.at(self.scenario.at_percent(30), What::Revoke, index);
        }
    }

    /// Lets the time pass. What falls into the same minutes is one pass, as the service makes it.
    pub(super) fn live(&mut self) {
        let end = i64::from(self.scenario.days) * DAY_MS;
        while let Some(Reverse((first, ..))) = self.moments.peek().copied() {
            if first >= end {
                break;
            }
            let begin = (first + COALESCE_MS).max(self.busy_until + FLOOR_MS);
            let mut worked = 0;
            let certificates = self.year.certificates;
            while let Some(Reverse((at, what, index))) = self.moments.peek().copied() {
                if at > begin {
                    break;
                }
                self.moments.pop();
                match what {
                    What::Revoke => self.revoke(index, at),
                    What::Poll => self.poll(index, begin),
                    What::Expire => self.expire(index, at),
                    What::Pass if self.members[index].next_pass != at => {}
                    What::Pass => {
                        if self.look(index, begin + worked * ORDER_MS) {
                            worked += 1;
                        }
                    }
                }
            }
            self.busy_until = begin + worked * ORDER_MS;
            self.year.reloads += u64::from(self.year.certificates > certificates);
        }
    }

    fn at(&mut self, moment: i64, what: What, index: usize) {
        self.moments.push(Reverse((moment, what, index)));
    }

    fn pass_at(&mut self, moment: i64, index: usize) {
        self.members[index].next_pass = moment;
        self.at(moment, What::Pass, index);
    }

    /// Looks at one site as a pass does; says whether the CA had work with it.
    fn look(&mut self, index: usize, now: i64) -> bool {
        let member = &self.members[index];
        let question = [(&member.site, Some(&member.remembered))];
        let plan = plan(question, &self.wish, moment(now));
        let Some(item) = plan.items.first() else {
            return false;
        };
        let (action, due_at) = (item.action.clone(), since_start(item.due.at));
        match action {
            Action::Leave => {
                self.pass_at(due_at.max(now + 1), index);
                false
            }
            Action::Postpone(until) => {
                self.pass_at(since_start(until).max(now + 1), index);
                false
            }
            // Sites of a simulation are all managed.
            Action::Skip(_) => false,
            Action::Deploy(_) => {
                self.deploy(index, now);
                false
            }
            Action::Order { replaces, urgent } => self.order(index, replaces.as_ref(), urgent, now),
        }
    }

    fn order(
        &mut self,
        index: usize,
        replaces: Option<&CertificateId>,
        urgent: bool,
        now: i64,
    ) -> bool {
        let member = &mut self.members[index];
        let trouble = member.troubles.at(now);
        let site = member.site.clone();
        let facts = OrderFacts::of(&site, replaces.is_some(), urgent, moment(now));
        if let Err(refusal) = self.ledger.allows(facts, moment(now)) {
            self.hold_back(index, &refusal, now);
            return false;
        }
        if let Some(trouble) = trouble.filter(|trouble| trouble.kind == Kind::SeenHere) {
            self.year.stopped_by_checks += 1;
            self.fails(index, Blame::Site, false, None, now);
            // Each pass until then would say the same.
            let heals_at = now + (trouble.until - now).div_euclid(RETRY_MS) * RETRY_MS + RETRY_MS;
            self.pass_at(heals_at, index);
            return false;
        }
        if let Err(refusal) = self.ledger.reserve(facts, moment(now)) {
            self.hold_back(index, &refusal, now);
            return false;
        }
        self.year.orders += 1;
        if !self.ca.answers(now) {
            self.year.unanswered += 1;
            self.fails(index, Blame::Network, true, None, now);
            return true;
        }
        let replaced = replaces.and_then(id_of);
        let names = self.members[index].names.clone();
        if let Err(refused) = self.ca.new_order(&names, replaced, now) {
            self.refused(index, facts, &refused, now);
            return true;
        }
        let failing: Vec<&String> = match trouble.map(|trouble| trouble.kind) {
            Some(Kind::SeenByCa) => names.iter().collect(),
            Some(Kind::OneName) => names.iter().take(1).collect(),
            Some(Kind::SeenHere | Kind::Undeployable) | None => Vec::new(),
        };
        if !failing.is_empty() {
            for name in failing {
                self.ca.failed(name, now);
                self.judge_failure(name, now);
                if let Ok(name) = Name::parse(name) {
                    self.ledger.failed(facts.ca, &name, moment(now));
                }
            }
            self.fails(index, Blame::Site, true, None, now);
            return true;
        }
        self.issue(index, facts, replaced, now);
        true
    }

    fn issue(&mut self, index: usize, facts: OrderFacts<'_>, replaced: Option<u64>, now: i64) {
        let member = &mut self.members[index];
        let issued = self.ca.issue(&member.names, replaced, now);
        self.ledger.issued(facts, moment(now));
        let first = member.site.current.is_none();
        if first {
            // A site that was broken on arrival waited for itself.
            let whole = member.whole_since.unwrap_or(now);
            self.year.longest_wait_ms = self.year.longest_wait_ms.max(now - whole);
        }
        self.year.issued(first, now);
        member.obtain(issued);
        self.deploy(index, now);
    }

    fn deploy(&mut self, index: usize, now: i64) {
        let member = &mut self.members[index];
        let trouble = member.troubles.at(now);
        if let Some(trouble) = trouble.filter(|trouble| trouble.kind == Kind::Undeployable) {
            self.fails(index, Blame::Host, false, None, now);
            let heals_at = now + (trouble.until - now).div_euclid(RETRY_MS) * RETRY_MS + RETRY_MS;
            self.pass_at(heals_at, index);
            return;
        }
        if let Some(revoked_at) = member.revoked_at.take() {
            self.year.replaced_within_a_day += u64::from(now - revoked_at <= DAY_MS);
        }
        let old = member.id();
        let Some(end) = member.deploy() else {
            return;
        };
        member.remembered.attempts = None;
        if let Some(old) = old {
            self.ca.forget(old);
        }
        self.at(end, What::Expire, index);
        self.at(now + COALESCE_MS, What::Poll, index);
        self.pass_at(now + COALESCE_MS, index);
    }

    fn poll(&mut self, index: usize, now: i64) {
        let member = &mut self.members[index];
        let Some((id, end)) = member.certificate_id() else {
            return;
        };
        let known = member.remembered.suggestion.as_ref();
        if !Suggestion::wanted(known, &id, end, moment(now)) {
            return;
        }
        let window = id_of(&id).and_then(|id| self.ca.window(id));
        let answered = window.filter(|_| self.ca.answers(now));
        let window =
            answered.and_then(|(from, until)| Window::new(moment(from), moment(until)).ok());
        let suggestion = match window {
            Some(window) => Suggestion::answered(
                known,
                &id,
                Answer {
                    window,
                    explanation: None,
                    retry_after: Some(SignedDuration::from_millis(POLL_MS)),
                },
                moment(now),
            ),
            None => Suggestion::unanswered(known, &id, false, moment(now)),
        };
        let poll_at = since_start(suggestion.poll_at);
        member.remembered.suggestion = Some(suggestion);
        // Where the CA answered, asking again says the same until it revokes.
        if window.is_none() {
            self.at(poll_at, What::Poll, index);
        }
        self.pass_at(now, index);
    }

    fn revoke(&mut self, index: usize, now: i64) {
        let member = &mut self.members[index];
        let Some(id) = member.id() else {
            return;
        };
        self.ca.revoke(id, now);
        self.year.revoked += 1;
        member.revoked_at = Some(now);
        let (before, after) = (now - LEAST_MS, now + DAY_MS);
        let outage = self.scenario.outage();
        let whole = member
            .troubles
            .was_whole(before, after, outage, after - before);
        if !whole {
            self.year.revoked_while_broken += 1;
        }
        // It is seen at the next of the questions that were left out.
        let suggestion = member.remembered.suggestion.as_ref();
        let next = suggestion.map_or(now, |known| since_start(known.poll_at));
        let missed = (now - next).div_euclid(POLL_MS) + 1;
        self.at(next.max(next + missed * POLL_MS), What::Poll, index);
    }

    fn expire(&mut self, index: usize, at: i64) {
        let outage = self.scenario.outage();
        let member = &mut self.members[index];
        if member.end() != Some(at) {
            return;
        }
        // By then anybody would have begun, whatever our own rules say.
        let lifetime = i64::from(self.scenario.lifetime_days) * DAY_MS;
        let from = at - lifetime * 3 / 10;
        let saved = member.troubles.was_whole(from, at, outage, LEAST_MS);
        let domain = member.site.domain().clone();
        self.year.expired(&domain, at, saved);
    }
}

/// What goes wrong.
impl Fleet {
    fn hold_back(&mut self, index: usize, refusal: &Refusal, now: i64) {
        self.year.held_back += 1;
        self.members[index].note_whole(now);
        self.pass_at(since_start(refusal.retry_at).max(now + 1), index);
    }

    fn refused(&mut self, index: usize, facts: OrderFacts<'_>, refused: &Refused, now: i64) {
        let kind = match refused.limit {
            Rule::OrdersPerAccount => Some(LimitKind::OrdersPerAccount),
            Rule::CertificatesPerDomain => Some(LimitKind::CertificatesPerDomain),
            Rule::CertificatesPerSet => Some(LimitKind::CertificatesPerExactSet),
            Rule::FailuresPerName => Some(LimitKind::FailuresPerName),
            Rule::Paused | Rule::RequestsPerSecond => None,
        };
        let told = moment(refused.retry_at);
        if let Some(kind) = kind {
            self.ledger.told(facts, kind, None, told, moment(now));
        }
        self.fails(index, Blame::Ca, true, Some(told), now);
    }

    fn fails(
        &mut self,
        index: usize,
        blame: Blame,
        asked_ca: bool,
        told: Option<jiff::Timestamp>,
        now: i64,
    ) {
        let member = &mut self.members[index];
        let before = member.remembered.attempts.as_ref();
        let cause = String::new();
        let attempts = Attempts::failed(before, blame, asked_ca, told, cause, moment(now));
        let retry_at = since_start(attempts.retry_at).max(now + RETRY_MS);
        member.remembered.attempts = Some(attempts);
        self.pass_at(retry_at, index);
    }

    /// Counts what the rules promise never to let happen.
    fn judge_failure(&mut self, name: &str, now: i64) {
        self.year.failed_validations += 1;
        let known = self.failures.entry(name.to_owned()).or_default();
        known.retain(|before| now - before < DAY_MS);
        self.year.failures_within_a_day += u64::from(!known.is_empty());
        known.push(now);
        let hour = known.iter().filter(|before| now - **before < HOUR_MS);
        let hour = u32::try_from(hour.count()).unwrap_or(u32::MAX);
        self.year.most_failures_per_hour = self.year.most_failures_per_hour.max(hour);
    }
}

/// As the service: what falls into three minutes is done together, and passes are ten seconds apart.
const COALESCE_MS: i64 = 180_000;
const FLOOR_MS: i64 = 10_000;

/// As the service: what failed without the CA is tried again after ten minutes.
const RETRY_MS: i64 = 600_000;

/// Let's Encrypt's interval for renewal information.
const POLL_MS: i64 = 6 * HOUR_MS;

/// Four seconds an order, and sixteen side by side.
const ORDER_MS: i64 = 250;

/// A site that is whole for so long before its certificate ends must not lose it: a day of patience after a failed
/// validation, and what a pass and a limit may cost.
const LEAST_MS: i64 = 25 * HOUR_MS;
