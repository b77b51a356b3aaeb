//! What a presentation request asks, which cards answer it, and what each way of answering shows (OpenID4VP 1.0 sections 5
//! and 6): everything that the consent page says comes from here. The same matcher checks on the verifier's side.

use carded_verifier::dcql::{Candidate, CredentialQuery, Format, Match, Selection};
use carded_verifier::jwt_vc::HeldJwtVc;
use carded_verifier::openid4vp::AuthorizationRequest;
use carded_verifier::sd_jwt::present::{HeldSdJwt, ShownSdJwt};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::copies::{self, CopyState, Pick};
use crate::explain::{self, Row};
use crate::issuer::{Label, cut};
use crate::link;
use crate::refusal::Refusal;

const MOST_WAYS: usize = 12;

/// A card, as the page hands it in; `credential` is any one of its copies.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Card {
    /// Its name in the wallet.
    pub(crate) id: String,
    /// What its issuer calls it.
    pub(crate) title: String,
    /// The issuer's origin.
    pub(crate) issuer: String,
    /// `dc+sd-jwt` or `jwt_vc_json`.
    pub(crate) format: String,
    /// `vct` alone, or the VC types.
    pub(crate) types: Vec<String>,
    /// What the issuer calls its claims.
    pub(crate) labels: Vec<Label>,
    /// One of its copies.
    pub(crate) credential: String,
    /// The state of all its copies.
    pub(crate) copies: Vec<CopyState>,
}

/// A credential in hand, whatever its format.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// `dc+sd-jwt`
    SdJwt(HeldSdJwt),
    /// `jwt_vc_json`
    JwtVc(HeldJwtVc),
}

impl Held {
    /// Reads a credential of a format.
    ///
    /// # Errors
    /// `credential_unreadable`.
    pub(crate) fn parse(format: &str, credential: &str) -> Result<Self, Refusal> {
        match Format::parse(format) {
            Format::DcSdJwt => HeldSdJwt::parse(credential, &link::limits()).map(Self::SdJwt).map_err(|_| unreadable()),
            Format::JwtVcJson => {
                HeldJwtVc::parse(credential, &link::limits()).map(Self::JwtVc).map_err(|_| unreadable())
            }
            _ => Err(unreadable()),
        }
    }

    /// Everything it says, as queries see it.
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        match self {
            Self::SdJwt(held) => held.claims(),
            Self::JwtVc(held) => held.claims(),
        }
    }

    /// As queries are held against it; `types` is `vct` alone, or the VC types.
    pub(crate) fn candidate<'a>(&'a self, types: &'a [String]) -> Candidate<'a> {
        let (format, authority_key_ids) = match self {
            Self::SdJwt(held) => (Format::DcSdJwt, held.authority_key_ids()),
            Self::JwtVc(held) => (Format::JwtVcJson, held.authority_key_ids()),
        };
        // whatever this wallet holds is bound to a key of it
        Candidate { format, types, claims: self.claims(), holder_binding: true, authority_key_ids }
    }

    /// What a site sees of it when it is shown for a query.
    ///
    /// # Errors
    /// `credential_unreadable`.
    fn seen(&self, answer: &Match) -> Result<Seen, Refusal> {
        match self {
            Self::SdJwt(held) => {
                let shown = held.disclose(&answer.paths);
                let seen = HeldSdJwt::parse(shown.without_key_binding(), &link::limits()).map_err(|_| unreadable())?;
                Ok(Seen { claims: seen.claims().clone(), of: Some(shown) })
            }
            Self::JwtVc(held) => Ok(Seen { claims: held.claims().clone(), of: None }),
        }
    }
}

/// What a site sees of a credential.
struct Seen {
    claims: Map<String, Value>,
    /// absent where nothing can be withheld
    of: Option<ShownSdJwt>,
}

impl Seen {
    /// What it does not see, by name, of all rows of the credential and those that are shown.
    fn hidden(&self, all: Vec<Row>, shown: &[Row]) -> Vec<String> {
        let mut hidden: Vec<String> = Vec::new();
        let Some(of) = &self.of else { return hidden };
        for row in all {
            let label = if of.withholds(&row.steps) {
                // of an address that is hidden whole one word is enough
                let partly = shown.iter().any(|shown| shown.path.first() == row.path.first());
                if partly || row.path.len() < 2 { row.label } else { explain::whole(&row) }
            } else if of.withholds_within(&row.steps) {
                format!("{} (the rest)", row.label)
            } else {
                continue;
            };
            if !hidden.contains(&label) {
                hidden.push(label);
            }
        }
        hidden
    }
}

fn unreadable() -> Refusal {
    Refusal::new("credential_unreadable", "This card cannot be read any more. Ask its issuer for a new one.")
}

/// What the consent page says.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Plan {
    /// Where the answer goes: all that is certain about who asks.
    pub(crate) origin: String,
    /// The whole address.
    pub(crate) response_uri: String,
    /// `client_name`, which nobody vouches for.
    pub(crate) calls_itself: Option<String>,
    /// What is asked, in words.
    pub(crate) asks: Vec<String>,
    /// Whether everything that is insisted on can be shown.
    pub(crate) satisfiable: bool,
    /// Why not, in words.
    pub(crate) reason: Option<String>,
    /// What is to be shown, each with the ways to do it.
    pub(crate) groups: Vec<Group>,
}

/// One thing to be shown.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Group {
    /// Whether the site insists.
    pub(crate) required: bool,
    /// The ways, the best first.
    pub(crate) ways: Vec<Way>,
}

/// One way to answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Way {
    /// Names it within the plan.
    pub(crate) id: String,
    /// The cards' titles.
    pub(crate) title: String,
    /// What is shown of each card.
    pub(crate) shows: Vec<Show>,
    /// What the person should know first.
    pub(crate) warnings: Vec<Warning>,
}

/// What is shown of one card.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Show {
    /// The `id` of the credential query that it answers.
    pub(crate) query: String,
    /// The card.
    pub(crate) card: String,
    /// Its title.
    pub(crate) title: String,
    /// Its issuer's origin.
    pub(crate) issuer: String,
    /// What the site will see, all of it.
    pub(crate) shown: Vec<Row>,
    /// What it will not see, by name.
    pub(crate) hidden: Vec<String>,
    /// Which copy.
    pub(crate) copy: Copy,
}

/// The copy that a site would see.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Copy {
    /// Why this one.
    pub(crate) pick: Pick,
    /// Its name in the wallet.
    pub(crate) id: Option<String>,
}

/// Something that the person should know first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Warning {
    /// Stable, in snake_case.
    pub(crate) code: &'static str,
    /// A sentence.
    pub(crate) message: String,
}

/// What can be done about a request with the cards at hand.
///
/// # Errors
/// `link_refused` where the answer would go to no place that this wallet goes to.
pub(crate) fn plan(request: &AuthorizationRequest, cards: &[Card], now: i64) -> Result<Plan, Refusal> {
    let response_uri = link::take(&request.response_uri, "The address of the answer")?;
    let origin = link::origin(&response_uri);
    // a card that cannot be read any more answers nothing, and does not keep the others from answering
    let held: Vec<(&Card, Held)> = cards
        .iter()
        .filter_map(|card| Held::parse(&card.format, &card.credential).ok().map(|held| (card, held)))
        .collect();
    let candidates: Vec<Candidate<'_>> = held.iter().map(|(card, held)| held.candidate(&card.types)).collect();
    let query = &request.dcql_query;
    let selection = query.select(&candidates);
    let planner = Planner { held: &held, selection: &selection, origin: &origin, now };
    let mut groups = Vec::new();
    if query.credential_sets.is_empty() {
        for credential in &query.credentials {
            groups.push(Group { required: true, ways: planner.ways(&[vec![credential.id.clone()]])? });
        }
    } else {
        for set in &query.credential_sets {
            groups.push(Group { required: set.required, ways: planner.ways(&set.options)? });
        }
        groups.retain(|group| group.required || !group.ways.is_empty());
    }
    let nothing_to_choose = groups.iter().all(|group| group.ways.is_empty());
    let satisfiable = !nothing_to_choose && groups.iter().all(|group| !group.required || !group.ways.is_empty());
    Ok(Plan {
        origin,
        response_uri: response_uri.as_str().to_owned(),
        calls_itself: request
            .client_metadata
            .as_ref()
            .and_then(|metadata| metadata.get("client_name"))
            .and_then(Value::as_str)
            .map(cut)
            .filter(|name| !name.is_empty()),
        asks: asks(&query.credentials),
        satisfiable,
        reason: (!satisfiable).then(|| reason(&query.credentials, cards.is_empty())),
        groups,
    })
}

struct Planner<'a> {
    held: &'a [(&'a Card, Held)],
    selection: &'a Selection,
    origin: &'a str,
    now: i64,
}

impl Planner<'_> {
    /// The ways to answer one of several combinations of queries, usable ones first, else in the verifier's order.
    fn ways(&self, options: &[Vec<String>]) -> Result<Vec<Way>, Refusal> {
        let mut ways: Vec<Way> = Vec::new();
        for option in options {
            let mut combinations: Vec<Vec<(&str, usize, &Match)>> = vec![Vec::new()];
            for id in option {
                let fitting = self.selection.credentials.iter().find(|fitting| fitting.id == *id);
                let candidates = fitting.map(|fitting| fitting.candidates.as_slice()).unwrap_or_default();
                combinations = combinations
                    .iter()
                    .flat_map(|before| {
                        candidates.iter().map(move |(index, answer)| {
                            let mut combination = before.clone();
                            combination.push((id.as_str(), *index, answer));
                            combination
                        })
                    })
                    .take(MOST_WAYS)
                    .collect();
            }
            for combination in combinations {
                let way = self.way(ways.len(), &combination)?;
                let cards = |way: &Way| way.shows.iter().map(|show| show.card.clone()).collect::<Vec<_>>();
                // the same cards by a combination that the verifier likes better: nothing to choose
                if ways.len() < MOST_WAYS
                    && !way.shows.is_empty()
                    && !ways.iter().any(|known| cards(known) == cards(&way))
                {
                    ways.push(way);
                }
            }
        }
        let usable = |way: &Way| way.shows.iter().all(|show| matches!(show.copy.pick, Pick::Again | Pick::Fresh));
        ways.sort_by_key(|way| !usable(way));
        Ok(ways)
    }

    fn way(&self, number: usize, combination: &[(&str, usize, &Match)]) -> Result<Way, Refusal> {
        let mut shows = Vec::new();
        for (id, index, answer) in combination {
            if let Some((card, held)) = self.held.get(*index) {
                shows.push(self.show(id, card, held, answer)?);
            }
        }
        let title = shows.iter().map(|show| show.title.as_str()).collect::<Vec<_>>().join(" and ");
        Ok(Way { id: number.to_string(), title, warnings: warnings(&shows), shows })
    }

    fn show(&self, query: &str, card: &Card, held: &Held, answer: &Match) -> Result<Show, Refusal> {
        let format = Format::parse(&card.format);
        let seen = held.seen(answer)?;
        let shown = explain::rows(&format, &seen.claims, &card.labels);
        let hidden = seen.hidden(explain::rows(&format, held.claims(), &card.labels), &shown);
        let (pick, copy) = copies::pick(&card.copies, self.origin, self.now);
        Ok(Show {
            query: query.to_owned(),
            card: card.id.clone(),
            title: card.title.clone(),
            issuer: card.issuer.clone(),
            shown,
            hidden,
            copy: Copy { pick, id: copy.map(|copy| copy.id.clone()) },
        })
    }
}

/// More than the purpose needs: whoever asks for an age needs no name, and an age needs no birth date.
fn warnings(shows: &[Show]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let rows = || shows.iter().flat_map(|show| &show.shown);
    let is_age = |row: &&Row| {
        let names: Vec<&str> = row.path.iter().filter_map(Value::as_str).collect();
        explain::age_of(&names).is_some()
    };
    let mut others: Vec<String> = Vec::new();
    for row in rows().filter(|row| !is_age(row)) {
        let label = if row.path.len() < 2 { row.label.clone() } else { explain::whole(row) };
        if !others.contains(&label) {
            others.push(label);
        }
    }
    if rows().any(|row| is_age(&row)) && !others.is_empty() {
        let others = others.join(", ");
        warnings.push(Warning {
            code: "more_than_age",
            message: format!(
                "This site asks for more than an age: {others}. Nobody needs that to know that you are old enough."
            ),
        });
    }
    let is_birth_date = |row: &Row| {
        row.path
            .iter()
            .filter_map(Value::as_str)
            .any(|name| matches!(name, "birthdate" | "birth_date" | "date_of_birth"))
    };
    if rows().any(is_birth_date) {
        warnings.push(Warning {
            code: "birth_date",
            message: "Your birth date says more than whether you are old enough, and helps to recognise you elsewhere."
                .to_owned(),
        });
    }
    warnings
}

fn asks(queries: &[CredentialQuery]) -> Vec<String> {
    let mut asks: Vec<String> = Vec::new();
    for query in queries {
        for ask in query.claims.iter().map(|claim| explain::asked(&claim.path)) {
            if !ask.is_empty() && !asks.contains(&ask) {
                asks.push(ask);
            }
        }
    }
    asks
}

/// Why nothing fits, in plain words.
fn reason(queries: &[CredentialQuery], no_cards: bool) -> String {
    let asks = asks(queries);
    let ages: Option<Vec<u64>> = asks.iter().map(|ask| ask.strip_prefix("Over ")?.parse().ok()).collect();
    let lacking = match ages.and_then(|ages| ages.into_iter().min()) {
        Some(age) => format!("proves that you are over {age}"),
        None if asks.is_empty() => "is of the kind that is asked for".to_owned(),
        None => format!("has what is asked for ({})", asks.join(", ")),
    };
    if no_cards {
        format!("You have no cards yet, so there is none that {lacking}.")
    } else {
        format!("None of your cards {lacking}.")
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
