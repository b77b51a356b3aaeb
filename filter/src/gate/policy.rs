//! Who may do what: `isAuthorized(subject, action, resource)` over statements of effect, subjects, actions, resources.
//!
//! Deny wins, on every rule; silence denies where a rule says `authorize: true`. Compiled at configuration: subjects are
//! numbers, and statements are found by the first segment of their resources, so that a decision looks at few of them.

use std::collections::HashMap;

use carded_verifier::{ClaimPath, IssuerIndex, Trust, Verified};
use serde_json::Value;

use super::config::{ConfigError, Effect, Field, Name, PolicyConfig};
use super::facts::{ClaimRef, Facts, only_issuer};
use super::pattern::Pattern;

/// The compiled statements.
#[derive(Debug, Default)]
pub(super) struct Policies {
    statements: Vec<Statement>,
    /// Statement and resource, by the first segment of the resource where that is a literal.
    by_first_segment: HashMap<String, Vec<(usize, usize)>>,
    /// Those whose first segment is no literal.
    elsewhere: Vec<(usize, usize)>,
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
        trust: &Trust,
        roles: &[ClaimPath],
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut policies = Self::default();
        for (index, policy) in configured.iter().enumerate() {
            let field = Field::top("policies").at(index);
            let statement = policies.statement(policy, index, &field, trust, errors);
            policies.has_deny |= policy.effect == Effect::Deny;
            let number = policies.statements.len();
            for (place, resource) in statement.resources.iter().enumerate() {
                match resource.first_literal() {
                    Some(first) => policies.by_first_segment.entry(first.to_owned()).or_default().push((number, place)),
                    None => policies.elsewhere.push((number, place)),
                }
            }
            policies.statements.push(statement);
        }
        policies.subjects.roles = roles.to_vec();
        policies
    }

    fn statement(
        &mut self,
        policy: &PolicyConfig,
        index: usize,
        field: &Field,
        trust: &Trust,
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
            match Subject::parse(text, trust) {
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
                ClaimRef::resolve(&name, trust)
            };
            match Pattern::parse(text, bind).and_then(|pattern| bindings_are_unambiguous(pattern, text, trust)) {
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

    /// Whether a decision is needed at all where no rule asks for one.
    pub(super) fn has_deny(&self) -> bool {
        self.has_deny
    }

    /// Whether the caller may. A deny is matched on the method and on the action that it is mapped to; an allow on the
    /// action only, so that a mapping never widens what is allowed.
    pub(super) fn ask(&self, question: &Question<'_>, facts: &Facts<'_>) -> Says<'_> {
        let caller = self.subjects.of(facts);
        let first = question.segments.first().copied().unwrap_or_default();
        let near = self.by_first_segment.get(first).map(Vec::as_slice).unwrap_or_default();
        let mut says = Says::Nothing;
        for &(number, place) in near.iter().chain(&self.elsewhere) {
            let Some(statement) = self.statements.get(number) else { continue };
            let deny = statement.effect == Effect::Deny;
            if !deny && says != Says::Nothing {
                continue;
            }
            let action = |name: &str| statement.actions.as_ref().is_none_or(|list| list.iter().any(|one| one == name));
            if !(action(question.action) || deny && action(question.method)) {
                continue;
            }
            if !statement.subjects.as_ref().is_none_or(|list| list.iter().any(|&subject| caller.has(subject))) {
                continue;
            }
            let matches = statement.resources.get(place).is_some_and(|resource| {
                resource.matches(question.segments, |claim, segment| claim.equals(facts, segment))
            });
            if matches {
                if deny {
                    return Says::Deny(&statement.name);
                }
                says = Says::Allow(&statement.name);
            }
        }
        says
    }
}

/// A claim of a multi-tenant issuer says nothing without its tenant (threat 53).
fn bindings_are_unambiguous(
    pattern: Pattern<ClaimRef>,
    text: &str,
    trust: &Trust,
) -> Result<Pattern<ClaimRef>, String> {
    for claim in pattern.bindings() {
        let Some(issuer) = trust.issuer(claim.issuer).filter(|issuer| issuer.issuer.is_pattern()) else { continue };
        if !pattern.bindings().any(|other| other.issuer == claim.issuer && other.is_tenant()) {
            return Err(format!(
                "`{text}` binds a claim of the multi-tenant issuer `{0}` without its tenant: bind `{{{0}.tenant}}` too",
                issuer.name
            ));
        }
    }
    Ok(pattern)
}

/// The numbers of one kind and issuer: by the name, then by the tenant.
type ByName = HashMap<String, Vec<(Tenant, usize)>>;

/// Subjects as numbers.
#[derive(Debug, Default)]
struct Subjects {
    numbers: HashMap<(Kind, IssuerIndex), ByName>,
    count: usize,
    /// The claim that holds the roles, by issuer.
    roles: Vec<ClaimPath>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Sub,
    Role,
    Client,
    Scope,
}

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
        let values = self.numbers.entry((subject.kind, subject.issuer)).or_default();
        let tenants = values.entry(subject.value).or_default();
        if let Some((_, number)) = tenants.iter().find(|(tenant, _)| *tenant == subject.tenant) {
            return *number;
        }
        let number = self.count;
        self.count = self.count.saturating_add(1);
        tenants.push((subject.tenant, number));
        number
    }

    /// Which of the subjects that the statements name the caller is.
    fn of(&self, facts: &Facts<'_>) -> Caller {
        let mut caller = Caller::default();
        if self.count == 0 {
            return caller;
        }
        for verified in facts.all() {
            self.add(Kind::Sub, verified, verified.subject(), &mut caller);
            let claims = verified.claims();
            let client = claims.get("client_id").or_else(|| claims.get("azp")).and_then(Value::as_str);
            self.add(Kind::Client, verified, client, &mut caller);
            // RFC 8693 §4.2: words in one string; some providers write a list, some call it `scp`.
            for name in ["scope", "scp"] {
                self.add_words(Kind::Scope, verified, claims.get(name), &mut caller);
            }
            let roles = self.roles.get(verified.issuer_index().as_usize()).and_then(|path| verified.claim(path));
            match roles {
                Some(Value::String(role)) => self.add(Kind::Role, verified, Some(role.as_str()), &mut caller),
                roles => self.add_words(Kind::Role, verified, roles, &mut caller),
            }
        }
        caller
    }

    fn add_words(&self, kind: Kind, verified: &Verified, claim: Option<&Value>, caller: &mut Caller) {
        match claim {
            Some(Value::String(words)) => self.add(kind, verified, words.split(' '), caller),
            Some(Value::Array(words)) => self.add(kind, verified, words.iter().filter_map(Value::as_str), caller),
            _ => {}
        }
    }

    fn add<'v>(&self, kind: Kind, verified: &Verified, values: impl IntoIterator<Item = &'v str>, caller: &mut Caller) {
        let Some(known) = self.numbers.get(&(kind, verified.issuer_index())) else { return };
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

/// A set of subjects' numbers.
#[derive(Debug, Default)]
struct Caller(Vec<usize>);

impl Caller {
    fn add(&mut self, number: usize) {
        if let Err(at) = self.0.binary_search(&number) {
            self.0.insert(at, number);
        }
    }

    fn has(&self, number: usize) -> bool {
        self.0.binary_search(&number).is_ok()
    }
}
