//! Who may do what: `isAuthorized(subject, action, resource)` over statements of effect, subjects, actions, resources.
//!
//! Deny wins, on every rule; silence denies where a rule says `authorize: true`. Compiled at configuration: subjects are
//! numbers, and statements are found by the literal segments that their resources begin with, so that a decision looks at
//! few of them.

use carded_verifier::{ClaimPath, IssuerIndex, Trust};
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::config::{ConfigError, Effect, Field, Name, PolicyConfig};
use super::facts::{ClaimRef, Facts, Names, Word, only_issuer};
use super::pattern::Pattern;

/// The compiled statements.
#[derive(Debug, Default)]
pub(super) struct Policies {
    statements: Vec<Statement>,
    /// Statement and resource, by the literal segments that the resource begins with, each with a `/` before it.
    by_head: FxHashMap<String, Vec<(usize, usize)>>,
    /// The most literal segments that a resource begins with.
    longest_head: usize,
    subjects: Subjects,
    has_deny: bool,
}

#[derive(Debug)]
struct Statement {
    name: String,
    effect: Effect,
    /// Nothing: every caller.
    subjects: Option<Vec<usize>>,
    /// Nothing: every action.
    actions: Option<Vec<String>>,
    resources: Vec<Pattern<ClaimRef>>,
}

/// What the policies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says<'a> {
    /// The named statement denies.
    Deny(&'a str),
    /// The named statement allows, and none denies.
    Allow(&'a str),
    Nothing,
}

/// What a request is about.
pub(super) struct Question<'a> {
    pub(super) method: &'a str,
    /// The name that the rule maps the method to; the method itself where it maps none.
    pub(super) action: &'a str,
    pub(super) segments: &'a [&'a str],
}

impl Policies {
    pub(super) fn compile(
        configured: &[PolicyConfig],
        names: Names<'_>,
        roles: &[ClaimPath],
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut policies = Self::default();
        for (index, policy) in configured.iter().enumerate() {
            let field = Field::top("policies").at(index);
            let statement = policies.statement(policy, index, &field, names, errors);
            policies.has_deny |= policy.effect == Effect::Deny;
            let number = policies.statements.len();
            for (place, resource) in statement.resources.iter().enumerate() {
                let mut head = String::new();
                let mut length = 0_usize;
                for literal in resource.literal_head() {
                    push_segment(&mut head, literal);
                    length = length.saturating_add(1);
                }
                policies.longest_head = policies.longest_head.max(length);
                policies.by_head.entry(head).or_default().push((number, place));
            }
            policies.statements.push(statement);
        }
        let paths = |names: [&str; 2]| names.iter().filter_map(|name| ClaimPath::parse_dotted(name).ok()).collect();
        policies.subjects.roles = roles.to_vec();
        policies.subjects.clients = paths(["client_id", "azp"]);
        policies.subjects.scopes = paths(["scope", "scp"]);
        policies
    }

    fn statement(
        &mut self,
        policy: &PolicyConfig,
        index: usize,
        field: &Field,
        names: Names<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Statement {
        for (key, empty) in [
            ("subjects", policy.subjects.is_empty()),
            ("actions", policy.actions.is_empty()),
            ("resources", policy.resources.is_empty()),
        ] {
            if empty {
                errors.push(field.key(key).error("name at least one; `*` (for resources `/**`) means all"));
            }
        }
        let mut subjects = Some(Vec::new());
        for (at, text) in policy.subjects.iter().enumerate() {
            if text == "*" {
                subjects = None;
                continue;
            }
            match Subject::parse(text, names.trust) {
                Ok(subject) => {
                    let number = self.subjects.number(subject);
                    if let Some(list) = &mut subjects {
                        list.push(number);
                    }
                }
                Err(why) => errors.push(field.key("subjects").at(at).error(why)),
            }
        }
        let every_action = policy.actions.iter().any(|action| action == "*");
        let mut resources = Vec::new();
        for (at, text) in policy.resources.iter().enumerate() {
            let bind = |name: &str| {
                let name = Name::parse(name).ok_or_else(|| format!("`{{{name}}}` names no claim"))?;
                ClaimRef::resolve(&name, names)
            };
            match Pattern::parse(text, bind).and_then(|pattern| bindings_are_unambiguous(pattern, text, names)) {
                Ok(pattern) => resources.push(pattern),
                Err(why) => errors.push(field.key("resources").at(at).error(why)),
            }
        }
        Statement {
            name: policy.name.clone().unwrap_or_else(|| index.to_string()),
            effect: policy.effect,
            subjects,
            actions: (!every_action).then(|| policy.actions.clone()),
            resources,
        }
    }

    /// The claims that resources are bound to.
    pub(super) fn claims(&self) -> impl Iterator<Item = &ClaimRef> {
        self.statements.iter().flat_map(|statement| &statement.resources).flat_map(Pattern::bindings)
    }

    /// The claims of an issuer's tokens that tell which of the subjects a caller is, beside `sub`.
    pub(super) fn claims_of_subjects(&self, issuer: IssuerIndex) -> Vec<ClaimPath> {
        let mut claims = Vec::new();
        if self.subjects.knows(issuer, Kind::Client) {
            claims.extend_from_slice(&self.subjects.clients);
        }
        if self.subjects.knows(issuer, Kind::Scope) {
            claims.extend_from_slice(&self.subjects.scopes);
        }
        if self.subjects.knows(issuer, Kind::Role) {
            claims.extend(self.subjects.roles.get(issuer.as_usize()).filter(|role| !claims.contains(role)).cloned());
        }
        claims
    }

    /// Whether a decision is needed at all where no rule asks for one.
    pub(super) fn has_deny(&self) -> bool {
        self.has_deny
    }

    /// Whether the caller may. A deny is matched on the method and on the action that it is mapped to; an allow on the
    /// action only, so that a mapping never widens what is allowed.
    pub(super) fn ask(&self, question: &Question<'_>, facts: &Facts<'_>) -> Says<'_> {
        let caller = self.subjects.of(facts);
        let mut says = Says::Nothing;
        let mut head = String::with_capacity(64);
        // The heads of the path, from none of its segments to all that could lead anywhere.
        for length in 0..=self.longest_head.min(question.segments.len()) {
            if let Some(segment) = length.checked_sub(1).and_then(|last| question.segments.get(last)) {
                push_segment(&mut head, segment);
            }
            for &(number, place) in self.by_head.get(&head).map(Vec::as_slice).unwrap_or_default() {
                let Some(statement) = self.statements.get(number) else { continue };
                let deny = statement.effect == Effect::Deny;
                // One allow is enough; a deny could still follow.
                if (deny || says == Says::Nothing) && statement.speaks_of(place, length, question, &caller, facts) {
                    if deny {
                        return Says::Deny(&statement.name);
                    }
                    says = Says::Allow(&statement.name);
                }
            }
        }
        says
    }
}

fn push_segment(head: &mut String, segment: &str) {
    head.push('/');
    head.push_str(segment);
}

impl Statement {
    /// Whether the statement, with one of its resources, is about this caller and question. The cheapest test first.
    fn speaks_of(
        &self,
        resource: usize,
        head: usize,
        question: &Question<'_>,
        caller: &Caller,
        facts: &Facts<'_>,
    ) -> bool {
        let action = |name: &str| self.actions.as_ref().is_none_or(|list| list.iter().any(|one| one == name));
        self.subjects.as_ref().is_none_or(|list| list.iter().any(|&subject| caller.has(subject)))
            && self.resources.get(resource).is_some_and(|resource| {
                resource.matches_behind(head, question.segments, |claim, segment| claim.equals(facts, segment))
            })
            && (action(question.action) || self.effect == Effect::Deny && action(question.method))
    }
}

/// A claim of a multi-tenant issuer says nothing without its tenant (threat 53).
fn bindings_are_unambiguous(
    pattern: Pattern<ClaimRef>,
    text: &str,
    names: Names<'_>,
) -> Result<Pattern<ClaimRef>, String> {
    for claim in pattern.bindings() {
        if let Some((credential, _)) = claim.kept() {
            if !names.credentials.get(credential).is_some_and(|credential| credential.has_one_issuer(names.trust)) {
                return Err(format!(
                    "`{text}` binds a claim that several issuers could vouch for: only a credential with one trusted issuer, named by https or DID, says who someone is"
                ));
            }
            continue;
        }
        let issuer = claim.issuer().and_then(|issuer| names.trust.issuer(issuer));
        let Some(issuer) = issuer.filter(|issuer| issuer.issuer.is_pattern()) else { continue };
        if !pattern.bindings().any(|other| other.issuer() == claim.issuer() && other.is_tenant()) {
            return Err(format!(
                "`{text}` binds a claim of the multi-tenant issuer `{0}` without its tenant: bind `{{{0}.tenant}}` too",
                issuer.name
            ));
        }
    }
    Ok(pattern)
}

/// The numbers of one kind and issuer: by the name, then by the tenant. What is in the table comes from the configuration
/// alone, so nobody can fill it with colliding names, and a fast hash serves.
type ByName = FxHashMap<String, Vec<(Tenant, usize)>>;

/// Subjects as numbers.
#[derive(Debug, Default)]
struct Subjects {
    /// By the issuer's place, then by the kind.
    numbers: Vec<[ByName; KINDS]>,
    count: usize,
    /// The claim that holds the roles, by issuer.
    roles: Vec<ClaimPath>,
    /// The claims that name the client: the first that is there.
    clients: Vec<ClaimPath>,
    /// The claims that hold scopes, all of them.
    scopes: Vec<ClaimPath>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sub,
    Role,
    Client,
    Scope,
}

const KINDS: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tenant {
    /// The issuer has no tenants, or any of them.
    Any,
    Named(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject {
    kind: Kind,
    issuer: IssuerIndex,
    tenant: Tenant,
    value: String,
}

impl Subject {
    /// Reads `role:corp.clerk`, `role:corp[tenant].clerk`, `role:corp[*].clerk`, or `role:clerk` with a single issuer.
    fn parse(text: &str, trust: &Trust) -> Result<Self, String> {
        let (kind, rest) = text
            .split_once(':')
            .ok_or_else(|| format!("`{text}` is no subject: write sub:, role:, client: or scope: before it, or `*`"))?;
        let kind = match kind {
            "sub" => Kind::Sub,
            "role" => Kind::Role,
            "client" => Kind::Client,
            "scope" => Kind::Scope,
            _ => return Err(format!("`{kind}:` is no kind of subject: there are sub:, role:, client: and scope:")),
        };
        let bracketed = rest.split_once('[').and_then(|(issuer, rest)| {
            let (tenant, value) = rest.split_once("].")?;
            Some((trust.index_of(issuer)?, tenant, value))
        });
        let (issuer, tenant, value) = if let Some((issuer, tenant, value)) = bracketed {
            (issuer, Some(tenant), value)
        } else {
            match rest.split_once('.').and_then(|(issuer, value)| Some((trust.index_of(issuer)?, value))) {
                Some((issuer, value)) => (issuer, None, value),
                None => (only_issuer(trust).map_err(|why| format!("`{text}`: {why}"))?, None, rest),
            }
        };
        if value.is_empty() {
            return Err(format!("`{text}` names nobody"));
        }
        let known = trust.issuer(issuer).ok_or_else(|| format!("`{text}` names no issuer"))?;
        let tenant = match tenant {
            Some(_) if !known.issuer.is_pattern() => {
                return Err(format!("`{text}`: the issuer `{}` has no tenants", known.name));
            }
            None if known.issuer.is_pattern() => {
                return Err(format!(
                    "`{text}`: anyone may hold that name in another tenant: write `{0}[TENANT].{value}`, or `{0}[*].{value}` for all of them",
                    known.name
                ));
            }
            None | Some("*") => Tenant::Any,
            Some(tenant) => Tenant::Named(tenant.to_owned()),
        };
        Ok(Self { kind, issuer, tenant, value: value.to_owned() })
    }
}

impl Subjects {
    fn number(&mut self, subject: Subject) -> usize {
        let issuer = subject.issuer.as_usize();
        if self.numbers.len() <= issuer {
            self.numbers.resize_with(issuer.saturating_add(1), Default::default);
        }
        // Both are there: the list was just made long enough, and there is a place for each kind.
        let Some(names) = self.numbers.get_mut(issuer).and_then(|kinds| kinds.get_mut(subject.kind as usize)) else {
            return self.count;
        };
        let tenants = names.entry(subject.value).or_default();
        if let Some((_, number)) = tenants.iter().find(|(tenant, _)| *tenant == subject.tenant) {
            return *number;
        }
        let number = self.count;
        self.count = self.count.saturating_add(1);
        tenants.push((subject.tenant, number));
        number
    }

    /// The names of a kind and issuer that statements speak of, where there are any.
    fn names(&self, issuer: IssuerIndex, kind: Kind) -> Option<&ByName> {
        self.numbers.get(issuer.as_usize())?.get(kind as usize).filter(|names| !names.is_empty())
    }

    fn knows(&self, issuer: IssuerIndex, kind: Kind) -> bool {
        self.names(issuer, kind).is_some()
    }

    /// Which of the subjects that the statements name the caller is.
    fn of(&self, facts: &Facts<'_>) -> Caller {
        let mut caller = Caller::default();
        if self.count == 0 {
            return caller;
        }
        for verified in facts.words() {
            self.add(Kind::Sub, verified, verified.subject(), &mut caller);
            let client = self.clients.iter().find_map(|path| verified.claim(path)).and_then(Value::as_str);
            self.add(Kind::Client, verified, client, &mut caller);
            // RFC 8693 §4.2: words in one string; some providers write a list, some call it `scp`.
            for path in &self.scopes {
                self.add_words(Kind::Scope, verified, verified.claim(path), &mut caller);
            }
            let roles = self.roles.get(verified.issuer_index().as_usize()).and_then(|path| verified.claim(path));
            match roles {
                Some(Value::String(role)) => self.add(Kind::Role, verified, Some(role.as_str()), &mut caller),
                roles => self.add_words(Kind::Role, verified, roles, &mut caller),
            }
        }
        caller
    }

    fn add_words(&self, kind: Kind, verified: Word<'_>, claim: Option<&Value>, caller: &mut Caller) {
        match claim {
            Some(Value::String(words)) => self.add(kind, verified, words.split(' '), caller),
            Some(Value::Array(words)) => self.add(kind, verified, words.iter().filter_map(Value::as_str), caller),
            _ => {}
        }
    }

    fn add<'v>(&self, kind: Kind, verified: Word<'_>, values: impl IntoIterator<Item = &'v str>, caller: &mut Caller) {
        let Some(known) = self.names(verified.issuer_index(), kind) else { return };
        for (tenant, number) in values.into_iter().filter_map(|value| known.get(value)).flatten() {
            let admitted = match tenant {
                Tenant::Any => true,
                Tenant::Named(name) => verified.tenant() == Some(name),
            };
            if admitted {
                caller.add(*number);
            }
        }
    }
}

/// A set of subjects' numbers, as bits.
#[derive(Debug, Default)]
struct Caller(Vec<u64>);

impl Caller {
    const BITS: usize = 64;

    fn add(&mut self, number: usize) {
        let word = number / Self::BITS;
        if word >= self.0.len() {
            self.0.resize(word.saturating_add(1), 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (number % Self::BITS);
        }
    }

    fn has(&self, number: usize) -> bool {
        self.0.get(number / Self::BITS).is_some_and(|bits| bits & (1 << (number % Self::BITS)) != 0)
    }
}
